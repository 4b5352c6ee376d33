import { PubSubError } from './errors.js'

const LIMIT = 1000

/**
 * The messages of a resource as an asynchronous iterator, which subscribes at its first `next()` and unsubscribes when
 * it is left.
 *
 * What comes while nobody asks waits in a buffer. When that is full it ends with an error, so that nothing is missing
 * without notice.
 */
export class Messages {
  #open
  #limit
  #subscription
  #buffer = []
  #waiting = []
  #isOver = false
  /** Why it is over, until somebody has been told. */
  #error

  /**
   * @param {(onMessage: Function, hooks: object) => object} open - Subscribes; see `openSubscription()`.
   * @param {number} [limit] - How many messages may wait.
   * @throws {PubSubError} BAD_SETTING
   */
  constructor(open, limit = LIMIT) {
    if (!Number.isInteger(limit) || limit < 1) {
      throw new PubSubError('BAD_SETTING', { detail: 'limit must be a whole number from 1' })
    }
    this.#open = open
    this.#limit = limit
  }

  [Symbol.asyncIterator]() {
    return this
  }

  async next() {
    this.#start()
    if (this.#buffer.length) return { value: this.#buffer.shift(), done: false }
    if (this.#isOver) {
      const error = this.#error
      this.#error = undefined
      if (error) throw error
      return { value: undefined, done: true }
    }
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  /** Unsubscribes, and resolves when the server has been told. */
  async return(value) {
    this.#end()
    await this.#subscription?.close()
    return { value, done: true }
  }

  #start() {
    if (this.#subscription || this.#isOver) return
    const onEnd = (error) => this.#end(error)
    this.#subscription = this.#open((message) => this.#push(message), { onEnd, onLoss: (error) => this.#leave(error) })
    this.#subscription.confirmed.catch(onEnd)
  }

  #push(value) {
    const resolve = this.#waiting.shift()
    if (resolve) resolve({ value, done: false })
    else if (this.#buffer.length < this.#limit) this.#buffer.push(value)
    else this.#leave(new PubSubError('TOO_SLOW', { topic: this.#subscription.topic, detail: `limit ${this.#limit}` }))
  }

  #leave(error) {
    this.#end(error)
    this.#subscription.close()
  }

  #end(error) {
    if (this.#isOver) return
    this.#isOver = true
    this.#error = error
    // What was unsubscribed or aborted is not heard of any more; of what failed, what came before is still good.
    if (!error || error.code === 'ABORTED') this.#buffer = []
    for (const resolve of this.#waiting.splice(0)) resolve(this.next())
  }
}

if (Symbol.asyncDispose) {
  Object.defineProperty(Messages.prototype, Symbol.asyncDispose, {
    async value() {
      await this.return()
    }
  })
}
