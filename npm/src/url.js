import { PubSubError } from './errors.js'

/** Where the broker is, relative to the REST API. */
const BROKER_PATH = '/mqtt'

/**
 * The address of the broker.
 *
 * A `ws:` or `wss:` address is taken as it is. An `http:` or `https:` address is that of the REST API, with or without
 * its version: the broker is beside it.
 *
 * @param {string} address
 * @returns {string}
 * @throws {PubSubError} NO_URL or BAD_URL
 */
export function brokerUrl(address) {
  if (!address) throw new PubSubError('NO_URL')
  let url
  try {
    url = new URL(address, globalThis.location?.href)
  } catch (cause) {
    throw new PubSubError('BAD_URL', { url: address, detail: 'it is no URL', cause })
  }
  if (url.protocol === 'http:' || url.protocol === 'https:') {
    const base = url.pathname.replace(/\/+(v\d+\/*)?$/, '')
    url.pathname = base.endsWith(BROKER_PATH) ? base : base + BROKER_PATH
    url.search = ''
    url.protocol = url.protocol.replace('http', 'ws')
  }
  if (url.protocol !== 'ws:' && url.protocol !== 'wss:') {
    throw new PubSubError('BAD_URL', { url: address, detail: `${url.protocol} is not supported` })
  }
  url.hash = ''
  return url.href
}
