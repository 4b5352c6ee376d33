/** What `thng-pubsub` has, without a WebAssembly module: `init()` has to be given one before anything else is called. */
export * from './index.mjs'
export { default } from './index.mjs'
