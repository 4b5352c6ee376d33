// The same instance as require() gives: the plugin keeps settings and connections, and two of it would not share them.
import PubSub from './node.cjs'

export default PubSub
export const { install, settings, setup, on, off, close, PubSubError } = PubSub
