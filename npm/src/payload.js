import { PubSubError } from './errors.js'
import { isWellFormed, Utf8Decoder, Utf8Encoder } from './text.js'

/** Resources whose documents are lists of values: all properties of something, or one of them. */
const PROPERTIES = /\/properties(\/[^/]*)?$/

/** Objects that JSON has a form for. */
const OF_JSON = /^(Object|Array|Number|String|Boolean)$/

/** Bytes of a message or a body that a server takes at the most, whatever its settings. */
const BYTES_MAX = 1024 * 1024

/**
 * The text of a message, or of the body of a REST request.
 *
 * On properties it is what evrythng.js makes of the argument of `update()`: `5` becomes `[{"value":5}]`, and
 * `{a: 1, b: 2}` an entry for each key. Elsewhere it is the JSON of the payload. Bytes are sent as their text
 * in UTF-8. With `isText` the result is the text that the payload is, and not its JSON.
 *
 * @throws {PubSubError} INVALID_PAYLOAD for what JSON would lose or change, or what no server takes
 */
export function bodyFor(path, payload, isText) {
  try {
    const document = PROPERTIES.test(path) ? propertyUpdates(payload) : payload
    const body = JSON.stringify(document, faithful)
    return withinLimit(isText ? JSON.parse(body) : body)
  } catch (cause) {
    // With the first line only: that of a circular structure goes on with its parts.
    const [detail] = String(cause.message).split('\n')
    throw new PubSubError('INVALID_PAYLOAD', { topic: path, detail, cause })
  }
}

/** The text of a message. A string is sent as it is, unless it is the value of a property. */
export function messageFor(path, payload) {
  return bodyFor(path, payload, (typeof payload === 'string' || isBytes(payload)) && !PROPERTIES.test(path))
}

function withinLimit(text) {
  // A character has at most three bytes.
  const bytes = text.length * 3 > BYTES_MAX ? new Utf8Encoder().encode(text).length : 0
  if (bytes > BYTES_MAX) throw new RangeError(`it has ${bytes} bytes, and a server takes at most ${BYTES_MAX}`)
  return text
}

function propertyUpdates(payload) {
  if (Array.isArray(payload)) return payload
  if (kindOf(payload) !== 'Object') return [{ value: payload }]
  if (typeof payload.toJSON === 'function') return propertyUpdates(payload.toJSON())
  if ('value' in payload) return [payload]
  return Object.entries(payload).map(([key, value]) => ({ key, value }))
}

/** What JSON makes of a value, unless that is something else than the value. */
function faithful(name, value) {
  const given = this[name]
  if (isBytes(given)) return textOf(given)
  // `new Number(NaN)` is checked as the number that JSON makes of it.
  if (value instanceof Number || value instanceof String) value = value.valueOf()
  if (!isWellFormed(name) || (typeof value === 'string' && !isWellFormed(value))) {
    throw new TypeError('a string in it has half of a surrogate pair')
  }
  const isLost =
    (value === null && kindOf(given) === 'Date') ||
    ['bigint', 'function', 'symbol'].includes(typeof value) ||
    (typeof value === 'number' && !Number.isFinite(value)) ||
    (value && typeof value === 'object' && !OF_JSON.test(kindOf(value)) && !Object.keys(value).length)
  if (isLost) throw new TypeError(`JSON has no ${typeof value === 'number' ? value : kindOf(given)}`)
  return value
}

const isBytes = (value) => ArrayBuffer.isView(value) || kindOf(value) === 'ArrayBuffer'

function textOf(bytes) {
  try {
    const view = ArrayBuffer.isView(bytes) ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength) : new Uint8Array(bytes)
    return new Utf8Decoder('utf-8', { fatal: true, ignoreBOM: true }).decode(view)
  } catch {
    throw new TypeError('its bytes are no UTF-8')
  }
}

/** `Object`, `Map`, `BigInt` and so on. */
const kindOf = (value) => Object.prototype.toString.call(value).slice(8, -1)
