import './embedded-wasm.js'

export { PubSub as default } from './browser.js'
