import { PubSubError } from './errors.js'
import { checkLimit } from './settings.js'

const LIMIT = 1000

/**
 * The messages of a resource as an asynchronous iterator, which subscribes at its first `next()` and unsubscribes when
 * it is left.
 *
 * Messages that nothing asks for wait in a buffer. When that is full it ends with an error, so that nothing is missing
 * without notice.
 *
 * It is a plain object: frameworks such as Vue put proxies before objects, and a proxy has no private fields.
 *
 * @param {(onMessage: Function, hooks: object) => object} open - Subscribes; see `openSubscription()`.
 * @param {number} [limit] - How many messages may wait.
 * @throws {PubSubError} BAD_SETTING
 */
export function createMessages(open, limit = LIMIT) {
  checkLimit(limit)
  let subscription
  let buffer = []
  const waiting = []
  let isOver = false
  /** Why it is over, until a call has rejected with it. */
  let failure

  function start() {
    if (subscription || isOver) return
    subscription = open((value, about) => push({ value, isState: about?.isState === true }), { onEnd: end, onLoss: leave })
    subscription.confirmed.catch(end)
  }

  function push(message) {
    const resolve = waiting.shift()
    if (resolve) resolve(take(message))
    else if (buffer.length < limit) buffer.push(message)
    else leave(new PubSubError('TOO_SLOW', { topic: subscription.topic, detail: `limit ${limit}` }))
  }

  function leave(error) {
    end(error)
    subscription.close()
  }

  function end(error) {
    if (isOver) return
    isOver = true
    failure = error
    // Of what was unsubscribed or aborted nothing more arrives; of what failed, what came before is still good.
    if (!error || error.code === 'ABORTED') buffer = []
    for (const resolve of waiting.splice(0)) resolve(next())
  }

  function take({ value, isState }) {
    messages.isState = isState
    return { value, done: false }
  }

  async function next() {
    start()
    if (buffer.length) return take(buffer.shift())
    if (isOver) {
      const error = failure
      failure = undefined
      if (error) throw error
      return { value: undefined, done: true }
    }
    return new Promise((resolve) => waiting.push(resolve))
  }

  const messages = {
    /** Whether the message that was taken last is a state. */
    isState: false,

    next,

    /** Unsubscribes, and resolves when the server has confirmed it. */
    async return(value) {
      end()
      await subscription?.close()
      return { value, done: true }
    },

    [Symbol.asyncIterator]: () => messages
  }
  return disposable(messages, messages.return)
}

/** The object with what `await using` calls, where the platform has that. */
export function disposable(object, dispose) {
  if (!Symbol.asyncDispose) return object
  const value = async function () {
    await dispose.call(this)
  }
  return Object.defineProperty(object, Symbol.asyncDispose, { value })
}
