import { aborted, onAbort } from './abort.js'
import { PubSubError } from './errors.js'
import { isWellFormed } from './text.js'
import { reasonOf } from './reason.js'

/**
 * Makes one request to the REST API, and resolves with the document of the answer and its headers.
 *
 * @param {string} base - The address of the API.
 * @param {string} key - The API key, of characters that a header may have.
 * @param {string} method
 * @param {string} path
 * @param {object} about
 * @param {string} [about.body] - The JSON to send.
 * @param {object} [about.params] - The query; a list is joined with commas.
 * @param {string} [about.query] - The query as it is sent, instead.
 * @param {AbortSignal} [about.signal]
 * @param {number} about.timeoutMs - How long the whole answer may take.
 * @throws {PubSubError} NO_FETCH, INVALID_PAYLOAD, REQUEST_REFUSED, HANDSHAKE, PROTOCOL, TIMEOUT or ABORTED
 */
export async function request(base, key, method, path, { body, params, query, signal, timeoutMs }) {
  if (signal?.aborted) throw aborted(signal, path)
  if (typeof fetch !== 'function') throw new PubSubError('NO_FETCH', { topic: path })
  const address = base + path + (query ?? queryOf(params, path))
  const headers = { accept: 'application/json', authorization: key }
  if (body !== undefined) headers['content-type'] = 'application/json'
  const controller = new AbortController()
  const stop = () => controller.abort()
  const timer = setTimeout(stop, timeoutMs)
  const off = onAbort(signal, stop)
  try {
    const options = { method, headers, body, signal: controller.signal }
    const response = await fetch(address, options)
    return { document: documentOf(response, await response.text(), method, path), headers: response.headers }
  } catch (cause) {
    if (cause instanceof PubSubError) throw cause
    if (signal?.aborted) throw aborted(signal, path)
    const about = { url: base, topic: path }
    if (controller.signal.aborted) throw new PubSubError('TIMEOUT', { ...about, detail: `${method} ${path}` })
    // Node.js has the reason in a cause of its own.
    throw new PubSubError('HANDSHAKE', { ...about, detail: reasonOf(cause.cause ?? cause), cause })
  } finally {
    clearTimeout(timer)
    off()
  }
}

function queryOf(params = {}, path) {
  const given = Object.entries(params).filter(([, value]) => value !== undefined && value !== null)
  if (!given.flat().every((part) => isWellFormed(String(part)))) {
    throw new PubSubError('INVALID_PAYLOAD', { topic: path, detail: 'a parameter has half of a surrogate pair' })
  }
  const pairs = given.map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`)
  return pairs.length ? `?${pairs.join('&')}` : ''
}

/** The document of an answer; of one that only says where it is, its id. */
function documentOf({ ok, status, statusText, headers, url }, text, method, path) {
  let document
  try {
    document = text ? JSON.parse(text) : undefined
  } catch (cause) {
    if (ok) {
      const detail = `the answer to ${method} ${path} is no JSON`
      throw new PubSubError('PROTOCOL', { url: url.replace(/\?.*/, ''), topic: path, detail, cause })
    }
  }
  if (!ok) {
    const errors = Array.isArray(document?.errors) ? document.errors.map(String) : []
    const reason = errors.join(' ') || `${statusText || 'It does not say why'}.`
    throw new PubSubError('REQUEST_REFUSED', { topic: path, status, errors, detail: `${method} ${path} (${status}): ${reason}` })
  }
  // A task that was begun.
  if (status === 202 && document === undefined) return { id: headers.get('location')?.split('/').pop() }
  return document
}
