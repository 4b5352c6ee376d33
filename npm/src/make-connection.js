import { Connection } from './connection.js'
import { TopicSockets } from './topic-sockets.js'
import { brokerUrl, topicsUrl } from './url.js'

/**
 * Makes the connection of a transport, which opens its socket when it is first used.
 *
 * Every kind has the methods of `Connection`, and tells what `Connection` tells.
 *
 * @param {string} transport - One that the settings allow.
 * @param {object} about
 * @param {string} about.address - Of the REST API or of the broker; empty if not set.
 * @param {string} about.key - The API key.
 * @param {object} about.settings - Those in force for the scope.
 * @param {object} about.platform - See `pubsub.js`.
 * @param {(event: {type: string, url: string}) => void} about.emit - Receives the events of the connection.
 * @throws {PubSubError}
 */
export function makeConnection(transport, { address, key, settings, platform, emit }) {
  if (transport === 'websocket') {
    // Where nothing can be pinged, silence says nothing, and a refused socket looks like a lost one.
    const canPing = platform.canPing(settings)
    const keepAlive = canPing ? settings.keepAlive : 0
    const retryFirstConnection = canPing && settings.retryFirstConnection
    const openSocket = (url) => platform.openTopic(url, key, settings)
    const known = { ...settings, keepAlive, retryFirstConnection, clientId: '', key: '' }
    return new TopicSockets(known, topicsUrl(address), openSocket, emit)
  }
  const url = brokerUrl(address, platform)
  const clientId = `${settings.clientIdPrefix}_${Math.random().toString(16).slice(2, 10).padEnd(8, '0')}`
  const openSocket = () => platform.openSocket(url, ['mqtt'], settings)
  const emitAll = (type, event) => emit({ type, url, ...event })
  return new Connection({ ...settings, clientId, key }, url, openSocket, emitAll)
}
