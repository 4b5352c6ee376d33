import { Bridge } from './bridge.js'
import { PubSubError } from './errors.js'
import { explain } from './rejection.js'

/**
 * What a scope and a key do over native WebSockets: one socket for each topic, opened on the topic's own path.
 *
 * It has the methods of {@link import('./connection.js').Connection}, so that no caller has to know the difference.
 * A message is published on the socket of its topic, and on one of its own without subscriptions.
 */
export class TopicSockets {
  #settings
  #address
  #openSocket
  #emit
  /** By topic. Behind a # is a number, where a topic has several. */
  #bridges = new Map()
  #lastNumber = 0
  #isClosed = false

  /**
   * @param {object} settings - What a channel is to know; see `Settings` in `wasm-sdk/src/bindings.rs`.
   * @param {string} address - Where the topics are: a ws: or wss: address that their paths are appended to.
   * @param {(url: string) => WebSocket} openSocket
   * @param {(event: {type: string, url: string}, bridge?: Bridge) => void} emit - Receives the
   *   events of each socket, with its topic, and the end of all.
   */
  constructor(settings, address, openSocket, emit) {
    this.#settings = settings
    this.#address = address
    this.#openSocket = openSocket
    this.#emit = emit
  }

  /**
   * Resolves when the socket is open, which is the subscription, and is noted in `about.bridge`. `onText` receives the text
   * of each message.
   */
  async subscribe(topic, qos, about, onText) {
    // A socket brings its state once, so that each subscription with a state has a socket of its own.
    const name = /[?&]pubStates=/.test(topic) ? `${topic}#${++this.#lastNumber}` : topic
    about.bridge = this.#bridge(topic, name)
    await about.bridge.subscribe(topic, qos, about, onText)
  }

  /** From now on, calls no callback for which `isMeant` is true; its argument is the callback that `subscribe` got. */
  mute(isMeant) {
    for (const bridge of this.#bridges.values()) bridge.mute(isMeant)
  }

  /** Takes back the subscriptions of which `isMeant` is true. */
  async unsubscribe(topic, isMeant) {
    const asked = [...this.#bridges.values()].map((bridge) => {
      const handlers = bridge.forget(isMeant)
      return handlers.length > 0 && bridge.call((core, token) => core.unsubscribe(token, handlers), 'unsubscribe', topic)
    })
    await Promise.all(asked)
  }

  /**
   * Resolves when the message is sent.
   *
   * @throws {PubSubError} NO_ACKNOWLEDGEMENT
   */
  async publish(topic, text, qos, signal) {
    if (qos > 0) throw new PubSubError('NO_ACKNOWLEDGEMENT', { topic })
    const bridge = this.#listening(topic) ?? this.#bridge(topic)
    const start = (core, token) => core.publish(token, bridge.bytes(text))
    await bridge.publish(signal, start, topic, text.length, 'characters')
  }

  /** The state of each socket. */
  get states() {
    return [...this.#bridges.values()].map(({ state }) => state)
  }

  close() {
    this.#isClosed = true
    for (const bridge of [...this.#bridges.values()]) bridge.close()
    this.#emit({ type: 'disconnected', url: this.#address, error: new PubSubError('CLOSED') })
  }

  /** The socket of a subscribed topic, whatever its other options, but for one project only. */
  #listening(topic) {
    const isMeant = (name) => name.split('?')[0] === topic && !/[?&]project=/.test(name)
    const name = [...this.#bridges.keys()].find(isMeant)
    return name === undefined ? undefined : this.#bridges.get(name)
  }

  #bridge(topic, name = topic) {
    if (this.#isClosed) throw new PubSubError('CLOSED', { topic })
    if (!this.#bridges.has(name)) this.#bridges.set(name, this.#open(topic, name))
    return this.#bridges.get(name)
  }

  #open(topic, name) {
    const url = this.#address + topic
    const bridge = new Bridge({
      create: (module, host, settings) => new module.Channel(host, settings, topic),
      ask: (core, token, handler) => core.subscribe(token, handler),
      settings: this.#settings,
      url,
      openSocket: () => this.#openSocket(url),
      emit: (type, event) => {
        const isOver = type === 'disconnected' && event.retryInMs === undefined
        if (isOver && this.#bridges.get(name) === bridge) this.#bridges.delete(name)
        // A socket that is closed for lack of use is no loss, and the end of the whole is one event.
        if (!isOver || event.error.code !== 'CLOSED') this.#emit({ ...event, type, url, topic }, bridge)
        if (isOver && this.#bridges.size === 0 && !this.#isClosed) this.#emit({ type: 'unused' })
      },
      explain,
      isText: true
    })
    return bridge
  }
}
