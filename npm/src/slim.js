/** All that there is, by name and as default, without a module: `init()` has to be given one. */
import { PubSub } from './browser.js'

export default PubSub
export const { install, settings, setup, on, off, close, init, PubSubError } = PubSub
export const { Operator, Application, TrustedApplication, User, Device, AccessToken, filter } = PubSub
