/**
 * All that there is, where no bytes may be compiled, as on Cloudflare Workers. There a module is imported: it lies
 * beside the bundle, and the platform has compiled it.
 */
import module from './pubsub.wasm'
import { embed } from './wasm-module.js'

embed(() => module)

export * from './slim.js'
export { default } from './slim.js'
