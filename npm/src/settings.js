import { PubSubError } from './errors.js'

/** What a connection is made with. A change reaches the connections that are made after it. */
export const defaults = {
  apiUrl: '',
  restUrl: '',
  transport: 'mqtt',
  keepAlive: 50,
  reconnectPeriod: 1000,
  reconnectPeriodMax: 30000,
  retryFirstConnection: true,
  connectTimeout: 30000,
  answerTimeout: 30000,
  idleTimeout: 30000,
  queueLimit: 1000,
  clientIdPrefix: 'thng-pubsub',
  debug: false,
  WebSocket: undefined,
  tls: undefined
}

/** How messages can travel. */
const TRANSPORTS = ['mqtt', 'websocket']

/** The largest number that each numeric setting may have; the smallest is 0. */
const MAXIMA = {
  keepAlive: 65535,
  reconnectPeriod: 2 ** 31 - 1,
  reconnectPeriodMax: 2 ** 31 - 1,
  connectTimeout: 2 ** 31 - 1,
  answerTimeout: 2 ** 31 - 1,
  idleTimeout: 2 ** 31 - 1,
  queueLimit: 2 ** 31 - 1
}

/** Unknown names that were reported. */
const reported = new Set()

/**
 * Takes over the settings that are given and leaves the others as they are; `undefined` brings a default back.
 * Unknown names are kept, as evrythng.js does, have no effect, and are reported on the console once each.
 *
 * @throws {PubSubError} BAD_SETTING; then nothing has changed.
 */
export function change(settings, changes = {}) {
  const entries = Object.entries(changes).map(([name, value]) => [name, value ?? defaults[name]])
  for (const [name, value] of entries) {
    check(name, value)
    if (!(name in defaults) && !reported.has(name)) {
      reported.add(name)
      console.warn(`thng-pubsub has no setting '${name}'. There are: ${Object.keys(defaults).join(', ')}.`)
    }
  }
  return Object.assign(settings, Object.fromEntries(entries))
}

/** @throws {PubSubError} BAD_SETTING if the setting cannot have the value. */
export function check(name, value) {
  const rule = value !== undefined && name in defaults && ruleBrokenBy(name, value)
  if (rule) throw new PubSubError('BAD_SETTING', { detail: `${name} must be ${rule}` })
}

/** @throws {PubSubError} BAD_SETTING if the option `limit` cannot have the value. */
export function checkLimit(limit) {
  const isCount = Number.isInteger(limit) && limit > 0
  if (!isCount) throw new PubSubError('BAD_SETTING', { detail: 'limit must be a whole number from 1' })
}

/** What a value that the setting cannot have should be. */
function ruleBrokenBy(name, value) {
  if (name in MAXIMA) {
    const isInRange = Number.isInteger(value) && value >= 0 && value <= MAXIMA[name]
    return !isInRange && `a whole number from 0 to ${MAXIMA[name]}`
  }
  if (name === 'transport') return !TRANSPORTS.includes(value) && `one of '${TRANSPORTS.join("', '")}'`
  if (name === 'retryFirstConnection') return typeof value !== 'boolean' && 'true or false'
  if (name === 'debug') return !['boolean', 'function'].includes(typeof value) && 'true, false or a function'
  if (name === 'WebSocket') return typeof value !== 'function' && 'a class'
  if (name === 'tls') return typeof value !== 'object' && 'an object'
  return typeof value !== 'string' && 'a string'
}
