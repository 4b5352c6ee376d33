/**
 * What the server would say of a topic or a payload, without a server: its own tables and readers, in a module of
 * their own.
 */
import createCore from '../pkg/check-factory.js'
import packed from '../pkg/check-packed.js'
import { PubSubError } from './errors.js'
import { unpack } from './packed.js'
import { messageFor } from './payload.js'
import { Utf8Decoder, Utf8Encoder } from './text.js'

const encoder = new Utf8Encoder()
let core

/** The instance, compiled at the first call. A trap would leave it broken, so the next call makes another. */
function call(name, ...args) {
  if (!core) {
    try {
      core = createCore(undefined, undefined, undefined, Utf8Encoder, Utf8Decoder)
      core.initSync({ module: new WebAssembly.Module(unpack(packed)) })
    } catch (error) {
      core = undefined
      throw new PubSubError('WASM_BLOCKED', { detail: String(error?.message ?? error), cause: error })
    }
  }
  try {
    return core[name](...args)
  } catch (error) {
    if (error instanceof WebAssembly.RuntimeError) core = undefined
    throw error
  }
}

/**
 * Reads a topic string as the server would.
 *
 * @param {string} topic
 * @throws {PubSubError} INVALID_TOPIC
 */
export function describeTopic(topic) {
  try {
    return call('describeTopic', String(topic))
  } catch (detail) {
    if (typeof detail !== 'string') throw detail
    // Without its options, of which one may be a key.
    throw new PubSubError('INVALID_TOPIC', { topic: String(topic).split('?')[0], detail })
  }
}

/**
 * What the server would find wrong with a publish.
 *
 * @param {string} topic
 * @param {unknown} payload - What `publish()` would be given.
 * @returns {string[]} One sentence a fault; empty where the server would try to store it.
 * @throws {PubSubError} NO_PAYLOAD or INVALID_PAYLOAD
 */
export function checkPublish(topic, payload) {
  if (payload === undefined || payload === null) throw new PubSubError('NO_PAYLOAD', { detail: 'checkPublish' })
  const [path] = String(topic).split('?')
  return call('checkPublish', String(topic), encoder.encode(messageFor(path, payload)))
}
