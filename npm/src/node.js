import WebSocket from 'ws'

import { createPubSub } from './plugin.js'

/** The plugin in Node.js, with the `ws` package: Node.js has a WebSocket of its own only since version 22. */
export const PubSub = createPubSub({ WebSocket: () => WebSocket })
