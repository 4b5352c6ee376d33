/** For pages that load the script `dist/pubsub.js`: declares the global variable `PubSub`. */
import type * as Plugin from './index.cjs'

declare global {
  const PubSub: typeof Plugin
}

export {}
