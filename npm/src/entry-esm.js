import './embedded-wasm.js'

export * from './slim.js'
export { default } from './slim.js'
