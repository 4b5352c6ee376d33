import './embedded-wasm.js'
import { PubSub } from './browser.js'
import { loadedFrom } from './home.js'

loadedFrom(globalThis.document?.currentScript?.src)
globalThis.PubSub = PubSub
