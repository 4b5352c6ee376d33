import './embedded-wasm.js'
import { PubSub } from './browser-plugin.js'

export default PubSub
export const { install, settings, setup, on, off, close, init, PubSubError } = PubSub
