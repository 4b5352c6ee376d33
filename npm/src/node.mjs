// The same instance as require() gives: it keeps settings and connections, and two of it would not share them.
import PubSub from './node.cjs'

export default PubSub
export const { install, settings, setup, on, off, close, init, PubSubError } = PubSub
export const { Operator, Application, TrustedApplication, User, Device, AccessToken, filter } = PubSub
