import { PubSub } from './browser.js'

export default PubSub
export const { install, settings, setup, on, off, close, PubSubError } = PubSub
