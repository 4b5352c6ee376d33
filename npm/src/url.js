import { PubSubError } from './errors.js'

/** Where the broker is, relative to the REST API. */
const BROKER_PATH = '/mqtt'

/**
 * The address of the broker.
 *
 * A `ws:`, `wss:`, `mqtt:` or `mqtts:` address is taken as it is. An `http:` or `https:` address is that of the REST
 * API, with or without its version: the broker is beside it.
 *
 * @param {string} address
 * @param {{hasTcp: boolean}} platform - Whether it can open TCP connections.
 * @returns {string}
 * @throws {PubSubError} NO_URL or BAD_URL
 */
export function brokerUrl(address, { hasTcp }) {
  const url = parse(address)
  if (isHttp(url)) {
    const base = url.pathname.replace(/\/+(v\d+\/*)?$/, '')
    url.pathname = base.endsWith(BROKER_PATH) ? base : base + BROKER_PATH
    url.search = ''
    url.protocol = url.protocol.replace('http', 'ws')
  } else if (isTcp(url)) {
    if (!hasTcp) throw badUrl(address, 'browsers cannot open TCP connections')
    if (!url.hostname) throw badUrl(address, 'it has no host')
  } else if (!isWebSocket(url)) {
    throw badUrl(address, `${url.protocol} is not supported`)
  }
  url.hash = ''
  return url.href
}

/**
 * The address of the REST API, without a slash at its end.
 *
 * @param {string} address - Its own, or that of the broker beside it.
 * @returns {string}
 * @throws {PubSubError} NO_URL or BAD_URL
 */
export function restUrl(address) {
  const url = parse(address)
  if (isTcp(url)) {
    const detail = `It is not known where the REST API of ${address} is. Say it with the setting restUrl.`
    throw new PubSubError('NO_URL', { detail })
  }
  if (isWebSocket(url)) url.protocol = url.protocol.replace('ws', 'http')
  if (!isHttp(url)) throw badUrl(address, `${url.protocol} is not supported`)
  const path = url.pathname.replace(/\/+$/, '')
  return url.origin + (path.endsWith(BROKER_PATH) ? path.slice(0, -BROKER_PATH.length) : path)
}

/**
 * What the path of a topic is appended to for its native WebSocket.
 *
 * @param {string} address - That of the REST API or of the broker beside it.
 * @returns {string}
 * @throws {PubSubError} NO_URL or BAD_URL
 */
export function topicsUrl(address) {
  if (isTcp(parse(address))) throw badUrl(address, "the transport 'websocket' needs a WebSocket")
  return restUrl(address).replace(/^http/, 'ws').replace(/\/v\d+$/, '')
}

/** The address of a topic with the API key in it. */
export function withKey(url, key) {
  return `${url}${url.includes('?') ? '&' : '?'}access_token=${encodeURIComponent(key)}`
}

function parse(address) {
  if (!address) throw new PubSubError('NO_URL')
  try {
    return new URL(address, globalThis.location?.href)
  } catch (cause) {
    throw new PubSubError('BAD_URL', { url: address, detail: 'it is no URL', cause })
  }
}

const isHttp = ({ protocol }) => protocol === 'http:' || protocol === 'https:'
const isWebSocket = ({ protocol }) => protocol === 'ws:' || protocol === 'wss:'
const isTcp = ({ protocol }) => protocol === 'mqtt:' || protocol === 'mqtts:'
const badUrl = (url, detail) => new PubSubError('BAD_URL', { url, detail })
