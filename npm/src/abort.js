import { PubSubError } from './errors.js'

/** What a call rejects with whose `signal` has aborted. */
export const aborted = (signal, topic) => new PubSubError('ABORTED', { topic, cause: signal.reason })

/** The callbacks of each signal. */
const callbacks = new WeakMap()

/**
 * Calls back when the signal aborts. A signal has one listener for all callbacks: Node.js takes more than ten for a leak.
 *
 * @param {AbortSignal | undefined} signal
 * @param {() => void} callback - One that no other call gives.
 * @returns {() => void} takes it back
 */
export function onAbort(signal, callback) {
  if (!signal) return () => {}
  let all = callbacks.get(signal)
  if (!all) callbacks.set(signal, (all = new Set()))
  all.listener ??= () => [...all].forEach((call) => call())
  if (all.size === 0) signal.addEventListener('abort', all.listener)
  all.add(callback)
  return () => {
    if (all.delete(callback) && all.size === 0) signal.removeEventListener('abort', all.listener)
  }
}

/**
 * The outcome of `start()`, unless the signal aborts first; nothing is started when it has already.
 *
 * @template T
 * @param {AbortSignal | undefined} signal
 * @param {string} topic
 * @param {() => Promise<T>} start
 * @returns {Promise<T>}
 */
export function abortable(signal, topic, start) {
  if (!signal) return start()
  return new Promise((resolve, reject) => {
    if (signal.aborted) throw aborted(signal, topic)
    const off = onAbort(signal, () => reject(aborted(signal, topic)))
    start().finally(off).then(resolve, reject)
  })
}

/** Errors of what a program ends itself. */
const OWN_DOING = ['ABORTED', 'CLOSED', 'NOT_SUBSCRIBED', 'UNSUBSCRIBED']

export const isOwnDoing = (error) => OWN_DOING.includes(error?.code)

/**
 * The same outcome. Where the program itself has ended the call, and does not wait for it, the rejection is not
 * reported as unhandled.
 *
 * @template T
 * @param {Promise<T>} outcome
 * @returns {Promise<T>}
 */
export function quietly(outcome) {
  const result = new Promise((resolve, reject) => {
    outcome.then(resolve, (error) => {
      reject(error)
      if (isOwnDoing(error)) result.catch(() => {})
    })
  })
  return result
}
