import { PubSubError } from './errors.js'

/** What a call rejects with whose `signal` has aborted. */
export const aborted = (signal, topic) => new PubSubError('ABORTED', { topic, cause: signal.reason })

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
    const abort = () => reject(aborted(signal, topic))
    signal.addEventListener('abort', abort)
    start()
      .finally(() => signal.removeEventListener('abort', abort))
      .then(resolve, reject)
  })
}
