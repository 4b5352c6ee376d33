import { createPubSub } from './plugin.js'

/** The plugin in a browser or a worker, with the platform's own WebSocket. */
export const PubSub = createPubSub({ WebSocket: () => globalThis.WebSocket })
