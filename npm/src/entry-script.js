import { PubSub } from './browser.js'

globalThis.PubSub = PubSub
