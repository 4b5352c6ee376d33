import WebSocket from 'ws'

import { TcpSocket } from './node-socket.js'
import { createPlugin } from './plugin.js'
import { createPubSub } from './pubsub.js'
import { createScopes } from './standalone.js'
import { withKey } from './url.js'

/** Node.js, with the `ws` package: Node.js has a WebSocket of its own only since version 22. */
const platform = {
  hasTcp: true,
  openSocket(url, protocols, settings) {
    if (url.startsWith('mqtt')) return new TcpSocket(url, settings.tls)
    if (settings.WebSocket) return new settings.WebSocket(url, protocols)
    return new WebSocket(url, protocols, settings.tls)
  },

  openTopic(url, key, settings) {
    // Another class may know nothing of headers.
    if (settings.WebSocket) return new settings.WebSocket(withKey(url, key))
    return new WebSocket(url, { ...settings.tls, headers: { authorization: key } })
  },

  canPing: ({ WebSocket: Other }) => typeof (Other ?? WebSocket).prototype?.ping === 'function'
}

/** All that there is, in Node.js. */
export const PubSub = createPubSub(platform, createPlugin, createScopes)
