import './included.js'
import { PubSub } from './browser.js'

globalThis.PubSub = PubSub
