/** What `thng-pubsub` has, without a WebAssembly module: `init()` has to be given one before anything else is called. */
import PubSub = require('./index.cjs')

export = PubSub
