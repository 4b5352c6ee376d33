import { createConnections } from './connections.js'
import { init } from './wasm-module.js'
import { PubSubError } from './errors.js'

/**
 * Makes what an entry exports, for one kind of platform.
 *
 * @param {object} platform
 * @param {boolean} platform.hasTcp - Whether it can open TCP connections.
 * @param {(url: string, protocols: string[], settings: object) => WebSocket} platform.openSocket
 * @param {(url: string, key: string, settings: object) => WebSocket} platform.openTopic - Opens a native WebSocket.
 * @param {(settings: object) => boolean} platform.canPing - Whether its WebSockets can ask for a sign of life.
 * @param {...((connections: object) => object)} parts - Each makes some of the exports: the plugin, the scopes.
 */
export function createPubSub(platform, ...parts) {
  const connections = createConnections(platform)
  const { settings, setup, on, off, close } = connections
  const made = parts.map((create) => create(connections))
  return Object.assign({}, ...made, { settings, setup, on, off, close, init, PubSubError })
}
