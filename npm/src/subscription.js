import { aborted, isOwnDoing, onAbort } from './abort.js'
import { withTopic } from './errors.js'
import { disposable } from './messages.js'

/**
 * A subscription, as the program that has made it holds it.
 *
 * @param {string} topic
 * @param {() => Promise<void>} close - Ends it: no message arrives from here on.
 * @param {Promise<Error | undefined>} closed - Resolves when it is over, with the error that ended it.
 */
export function createSubscription(topic, close, closed) {
  let closing
  const methods = { closed, close: () => (closing ??= close()) }
  return Object.assign(Object.create(disposable(methods, methods.close)), { topic })
}

/**
 * What a handle and the option `onError` say of a subscription, once it is confirmed: its end, and its failures.
 *
 * @param {Function} onMessage
 * @param {(error: Error) => void} [onError]
 */
export function createOutcome(onMessage, onError) {
  let isConfirmed = false
  let resolve
  const closed = new Promise((resolveIt) => (resolve = resolveIt))
  const report = (error) => {
    try {
      onError(error)
    } catch (thrown) {
      console.error(thrown)
    }
  }
  const onEnd = (error) => {
    const failure = isOwnDoing(error) ? undefined : error
    resolve(failure)
    if (failure && onError && isConfirmed) report(failure)
  }
  const hooks = { onMessage, onEnd, ...(onError && { onError: report, onLoss: report }) }
  return { hooks, closed, confirm: () => (isConfirmed = true) }
}

/**
 * Asks for a subscription on a connection, and keeps account of it until it is over, for whatever reason.
 *
 * @param {{ready: Promise, connection?: object, subscriptions: Set, release: () => void}} entry - The connection; see
 *   `connections.js`.
 * @param {{path: string, topic: string, qos: number, signal?: AbortSignal}} what
 * @param {(text: string) => void} onText - Receives each message.
 * @param {object} hooks
 * @param {Function} [hooks.onMessage] - The callback by which `unsubscribe()` finds it.
 * @param {(error: Error) => void} [hooks.onError] - Called for what no promise reports.
 * @param {(error?: Error) => void} [hooks.onEnd] - Called once when it is over, with the error, unless it was ended.
 * @param {(error: Error) => void} [hooks.onLoss] - Called when it was not restored after a lost connection.
 */
export function openSubscription(entry, { path, topic, qos, signal }, onText, { onMessage, onError, onEnd, onLoss }) {
  let isOver = false
  let reject
  const about = { path, topic, onMessage, onLoss, isObserved: !!onError, isConfirmed: false, confirmed: undefined }
  const subscription = { ...about, end, close }

  /** Leaves nothing behind here; what the server knows of it is for others to say. */
  function end(error) {
    if (isOver) return
    isOver = true
    off()
    entry.subscriptions.delete(subscription)
    onEnd?.(error && withTopic(error, topic))
  }

  async function close() {
    if (isOver) return
    end()
    await takeBack()
  }

  function abort() {
    const error = aborted(signal, topic)
    reject(error)
    end(error)
    takeBack()
  }

  async function takeBack() {
    const isMeant = (other) => other === subscription
    // No callback is called from here on; the rest has to follow earlier calls.
    entry.connection?.mute(isMeant)
    try {
      const connection = await entry.ready
      await connection.unsubscribe(path, isMeant)
    } catch {
      // The connection has failed, and its subscriptions with it.
    }
    entry.release()
  }

  async function ask() {
    const connection = await entry.ready
    if (!signal?.aborted) await connection.subscribe(topic, qos, subscription, onText)
  }

  entry.subscriptions.add(subscription)
  const off = onAbort(signal, abort)
  subscription.confirmed = new Promise((resolve, rejectIt) => {
    reject = rejectIt
    const onConfirmed = () => {
      subscription.isConfirmed = true
      resolve()
    }
    ask().then(onConfirmed, (error) => {
      end(error)
      entry.release()
      reject(withTopic(error, topic))
    })
  })
  return subscription
}
