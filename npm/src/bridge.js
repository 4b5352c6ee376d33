import { onAbort } from './abort.js'
import { discardInstance, wasmInstance } from './wasm-module.js'
import { PubSubError } from './errors.js'
import { createLog } from './log.js'
import { watchNetwork } from './network.js'
import { reasonOf } from './reason.js'
import { Utf8Decoder, Utf8Encoder } from './text.js'

/** A bridge whose instance fails more often than this within a minute is given up. */
const RESTARTS_MAX = 3

/** Every bridge whose instance is to be rebuilt when one of them fails: they share the instance. */
const bridges = new Set()

/**
 * One state machine of the WebAssembly module, and what it needs of JavaScript.
 *
 * It keeps the socket, the promises and the callbacks, which have numbers on the other side, and it is the only
 * place that calls into the module. So when the module fails, the promises are rejected, and the callbacks are
 * subscribed again by a new instance.
 */
export class Bridge {
  #create
  #ask
  #url
  #settings
  #openSocket
  #emit
  #explain
  #isText
  #core
  #host
  #socket
  #decoder = new Utf8Decoder()
  #encoder = new Utf8Encoder()
  #lastNumber = 0
  #calls = new Map()
  #subscriptions = new Map()
  #restarts = []
  /** How many connections there have been. */
  #connections = 0
  /** Why it is over, once it is. */
  #end
  #log
  #unwatch
  /** `idle`, `connecting`, `connected` or `disconnected`. */
  state = 'idle'

  /**
   * @param {object} about
   * @param {(module: object, host: object, settings: object) => object} about.create - Makes the state machine.
   * @param {(core: object, token: number, handler: number, subscription: object) => void} about.ask - Asks it for a
   *   subscription.
   * @param {object} about.settings - What it is to know; see `Settings` in `wasm-sdk/src/bindings.rs`.
   * @param {string} about.url - What errors and events call the other side.
   * @param {() => WebSocket} about.openSocket
   * @param {(type: string, about: object) => void} about.emit - Receives the events of the bridge.
   * @param {(code: string, about: object) => object} [about.explain] - Makes more of what is known of an error.
   * @param {boolean} [about.isText] - Whether what is sent is text, and not bytes.
   * @throws {PubSubError} WASM_BLOCKED
   */
  constructor({ create, ask, settings, url, openSocket, emit, explain = (code, about) => about, isText = false }) {
    this.#create = create
    this.#ask = ask
    this.#settings = settings
    this.#url = url
    this.#openSocket = openSocket
    this.#emit = emit
    this.#explain = explain
    this.#isText = isText
    this.#log = createLog(settings.debug, url)
    this.#start()
    bridges.add(this)
    const offline = () => this.#enter((core) => core.offline())
    this.#unwatch = watchNetwork(url, () => this.#enter((core) => core.wake()), offline)
  }

  /**
   * Resolves when the server has confirmed the subscription. `onText` receives the text of each message, whether it is a
   * state, and the number of the connection.
   */
  subscribe(topic, qos, about, onText) {
    const handler = this.#number()
    const subscription = { topic, qos, about, onText, isConfirmed: false, awaitsState: true }
    this.#subscriptions.set(handler, subscription)
    return this.#subscribe(handler, subscription)
  }

  /** From now on, calls no callback for which `isMeant` is true; its argument is the callback that `subscribe` got. */
  mute(isMeant) {
    for (const subscription of this.#subscriptions.values()) {
      if (isMeant(subscription.about)) subscription.onText = () => {}
    }
  }

  /** Forgets the callbacks of which `isMeant` is true, and returns their numbers. */
  forget(isMeant) {
    const handlers = [...this.#subscriptions].filter(([, { about }]) => isMeant(about)).map(([handler]) => handler)
    for (const handler of handlers) this.#subscriptions.delete(handler)
    return Uint32Array.from(handlers)
  }

  /** Asks the state machine for something that has an outcome; `what` is for the log. */
  call(start, ...what) {
    return new Promise((resolve, reject) => {
      if (this.#end) throw this.#end
      const token = this.#number()
      this.#log('call', token, ...what)
      this.#calls.set(token, { resolve, reject })
      this.#enter((core) => start(core, token))
    })
  }

  /** Asks it for a publish. When the signal aborts, a message that was never sent is dropped. */
  publish(signal, start, ...what) {
    let token
    const outcome = this.call((core, number) => start(core, (token = number)), 'publish', ...what)
    return outcome.finally(onAbort(signal, () => this.#enter((core) => core.cancel(token))))
  }

  bytes(text) {
    return this.#encoder.encode(text)
  }

  close() {
    this.#enter((core) => core.close())
  }

  #start() {
    const host = this.#makeHost()
    this.#core = this.#create(wasmInstance(), host, this.#settings)
    this.#host = host
  }

  #number() {
    this.#lastNumber = (this.#lastNumber + 1) >>> 0
    return this.#lastNumber
  }

  #subscribe(handler, subscription) {
    const { topic } = subscription
    const start = (core, token) => this.#ask(core, token, handler, subscription)
    return this.call(start, 'subscribe', topic).then(
      () => {
        subscription.isConfirmed = true
      },
      (error) => {
        // A failed module does not take back what was confirmed before: the next one asks for it again.
        if (error.code !== 'ENGINE_FAILED' || !subscription.isConfirmed) this.#subscriptions.delete(handler)
        throw error
      }
    )
  }

  /** The one way into the module. */
  #enter(call) {
    if (!this.#core) return
    try {
      call(this.#core)
    } catch (cause) {
      // Nothing that the module calls throws, so this is the module itself; it cannot be trusted any further.
      discardInstance()
      const all = [...bridges]
      for (const bridge of all) bridge.#abandon()
      for (const bridge of all) bridge.#restart(cause)
    }
  }

  /** Has nothing more to do with its instance of the module. */
  #abandon() {
    this.#disconnect()
    this.#core = this.#host = undefined
  }

  /** Goes on with another instance of the module. */
  #restart(cause) {
    const error = this.#error('ENGINE_FAILED', { detail: String(cause?.message ?? cause), cause })
    const now = Date.now()
    this.#restarts = [...this.#restarts.filter((at) => now - at < 60_000), now]
    const calls = [...this.#calls.values()]
    this.#calls.clear()
    for (const { reject } of calls) reject(error)
    this.#emit('error', { error })
    if (this.#restarts.length > RESTARTS_MAX) {
      this.#finish(error)
      this.#emit('disconnected', { error })
    } else {
      this.#settings = { ...this.#settings, retryFirstConnection: true }
      this.#start()
      this.#resubscribe()
    }
  }

  #resubscribe() {
    for (const [handler, subscription] of [...this.#subscriptions]) {
      // The call that asked for it has just failed.
      if (!subscription.isConfirmed) this.#subscriptions.delete(handler)
      else this.#subscribe(handler, subscription).catch((error) => this.#reportLost(error))
    }
  }

  /** Reports a subscription that was not restored, unless that was reported before, or intended. */
  #reportLost(error) {
    if (error.code !== 'ENGINE_FAILED' && error.code !== 'CLOSED') this.#emit('error', { error })
  }

  #finish(error) {
    const core = this.#core
    this.#end = error
    this.#core = undefined
    this.#subscriptions.clear()
    bridges.delete(this)
    this.#unwatch()
    // Not now: it is a method of this very object that says so.
    if (core) queueMicrotask(() => core.free())
  }

  #error(code, about) {
    return new PubSubError(code, { url: this.#url, ...this.#explain(code, about) })
  }

  #disconnect() {
    const socket = this.#socket
    this.#socket = undefined
    if (!socket) return
    try {
      socket.close()
      // Where there is a way to end a connection whose other side does not answer, it gets a second to do so.
      if (socket.terminate) setTimeout(() => socket.terminate(), 1000).unref?.()
    } catch {
      // It is as closed as it can be.
    }
  }

  /** What the module calls. A host whose instance has been given up does nothing any more. */
  #makeHost() {
    const methods = {
      open: (socket) => this.#open(host, socket),
      send: (socket, bytes) => this.#send(socket, bytes),
      // A socket that is closing takes no more.
      buffered: () => (this.#socket?.readyState > 1 ? -1 : this.#socket?.bufferedAmount),
      ping: () => this.#socket?.ping(),
      close: () => this.#disconnect(),
      resolve: (token) => {
        this.#log('resolved call', token)
        this.#take(token)?.resolve()
      },
      reject: (token, code, topic, detail) => {
        this.#log('rejected call', token, code, topic, detail)
        this.#take(token)?.reject(this.#error(code, { topic, detail }))
      },
      deliver: (handlers, payload, isState) => this.#deliver([...handlers], this.#decoder.decode(payload), isState),
      report: (type, code, topic, detail, retryInMs) => this.#report(type, code, { topic, detail }, retryInMs),
      tick: () => this.#enter((core) => core.tick())
    }
    const host = {}
    for (const [name, method] of Object.entries(methods)) {
      host[name] = (...args) => {
        if (this.#host === host) return method(...args)
      }
    }
    return host
  }

  #open(host, number) {
    const on = (method) => (this.#host === host ? this.#enter(method) : undefined)
    let socket
    try {
      socket = this.#openSocket()
    } catch (error) {
      on((core) => core.failed(number, reasonOf(error) || String(error)))
      return
    }
    this.#socket = socket
    socket.binaryType = 'arraybuffer'
    socket.onopen = () => on((core) => core.opened(number))
    socket.onmessage = ({ data }) => {
      const bytes = typeof data === 'string' ? this.#encoder.encode(data) : new Uint8Array(data)
      on((core) => core.received(number, bytes, typeof data !== 'string'))
    }
    socket.on?.('pong', () => on((core) => core.ponged?.(number)))
    socket.onerror = (event) => on((core) => core.failed(number, reasonOf(event)))
    socket.onclose = ({ code, reason }) => on((core) => core.closed(number, closeDetail(code, reason)))
  }

  #send(number, bytes) {
    try {
      this.#socket?.send(this.#isText ? this.#decoder.decode(bytes) : bytes)
    } catch (error) {
      this.#enter((core) => core.closed(number, String(error?.message ?? error)))
    }
  }

  #take(token) {
    const call = this.#calls.get(token)
    this.#calls.delete(token)
    return call
  }

  #deliver(handlers, text, isState) {
    for (const handler of handlers) {
      // One callback may have unsubscribed the next.
      const subscription = this.#subscriptions.get(handler)
      // A state belongs to the subscriptions that have asked for it since the last one.
      if (isState && !subscription?.awaitsState) continue
      if (isState) subscription.awaitsState = false
      this.#log('message', subscription?.topic, text.length, 'characters', isState ? 'state' : '')
      try {
        subscription?.onText(text, isState, this.#connections)
      } catch (cause) {
        const { topic } = subscription
        this.#emit('error', { error: this.#error('CALLBACK', { topic, detail: String(cause?.message ?? cause), cause }) })
      }
    }
  }

  /** Every subscription is about to be made again, and brings its state with it. */
  #expectStates() {
    this.#connections++
    for (const subscription of this.#subscriptions.values()) subscription.awaitsState = true
  }

  #report(type, code, about, retryInMs) {
    const event = {}
    if (code) event.error = this.#error(code, about)
    if (type !== 'error') this.state = type
    this.#log(type, code, about.topic, about.detail, retryInMs !== undefined ? `retry in ${retryInMs} ms` : '')
    if (type === 'connected') this.#expectStates()
    if (type === 'disconnected') event.retryInMs = retryInMs
    if (type === 'disconnected' && retryInMs === undefined) this.#finish(event.error)
    this.#emit(type, event)
  }
}

function closeDetail(code, reason) {
  const text = reason ? String(reason) : ''
  return [code && `WebSocket close code ${code}`, text].filter(Boolean).join(', ')
}
