import { Link } from './link.js'
import { explain } from './rejection.js'

/**
 * One MQTT connection to the broker, which all subscriptions and publishes of a scope and a key share.
 */
export class Connection {
  #link

  /**
   * @param {object} settings - What the session is to know; see `Settings` in `wasm-sdk/src/js.rs`.
   * @param {string} url
   * @param {(url: string) => WebSocket} openSocket
   * @param {(type: string, about: object) => void} emit - Hears what happens to the connection.
   * @throws {PubSubError} WASM_BLOCKED
   */
  constructor(settings, url, openSocket, emit) {
    this.#link = new Link({
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
    return this.#link.subscribe(topic, qos, about, onText)
  }

  /** From now on, calls none of the callbacks of which `isMeant` is true; it is asked with what `subscribe` was told. */
  mute(isMeant) {
    this.#link.mute(isMeant)
  }

  /** Takes back the subscriptions of which `isMeant` is true. */
  unsubscribe(topic, isMeant) {
    const handlers = this.#link.forget(isMeant)
    return this.#link.call((core, token) => core.unsubscribe(token, topic, handlers))
  }

  /** Resolves when the message is sent (QoS 0) or acknowledged (QoS 1). */
  publish(topic, text, qos) {
    return this.#link.call((core, token) => core.publish(token, topic, this.#link.bytes(text), qos))
  }

  close() {
    this.#link.close()
  }
}
