import { Bridge } from './bridge.js'
import { explain } from './rejection.js'

/**
 * One MQTT connection to the broker, which all subscriptions and publishes of a scope and a key share.
 */
export class Connection {
  #bridge

  /**
   * @param {object} settings - What the session is to know; see `Settings` in `wasm-sdk/src/bindings.rs`.
   * @param {string} url
   * @param {(url: string) => WebSocket} openSocket
   * @param {(type: string, about: object) => void} emit - Receives the events of the connection.
   * @throws {PubSubError} WASM_BLOCKED
   */
  constructor(settings, url, openSocket, emit) {
    this.#bridge = new Bridge({
      create: (module, host, changed) => new module.Connection(host, changed),
      ask: (core, token, handler, { topic, qos }) => core.subscribe(token, topic, qos, handler),
      settings,
      url,
      openSocket: () => openSocket(url),
      emit,
      explain
    })
  }

  /** Resolves when the server has confirmed the subscription. `onText` receives the text of each message. */
  subscribe(topic, qos, about, onText) {
    return this.#bridge.subscribe(topic, qos, about, onText)
  }

  /** From now on, calls no callback for which `isMeant` is true; its argument is the callback that `subscribe` got. */
  mute(isMeant) {
    this.#bridge.mute(isMeant)
  }

  /** Takes back the subscriptions of which `isMeant` is true. */
  unsubscribe(topic, isMeant) {
    const handlers = this.#bridge.forget(isMeant)
    return this.#bridge.call((core, token) => core.unsubscribe(token, topic, handlers), 'unsubscribe', topic)
  }

  /** Resolves when the message is sent (QoS 0) or acknowledged (QoS 1). */
  publish(topic, text, qos, signal) {
    const start = (core, token) => core.publish(token, topic, this.#bridge.bytes(text), qos)
    return this.#bridge.publish(signal, start, topic, text.length, 'characters, qos', qos)
  }

  get states() {
    return [this.#bridge.state]
  }

  close() {
    this.#bridge.close()
  }
}
