import net from 'node:net'
import tls from 'node:tls'

import { reasonOf } from './reason.js'

/** A TCP connection, with TLS or without, with what is used of a WebSocket. */
export class TcpSocket {
  onopen
  onmessage
  onerror
  onclose
  #socket
  #reason = ''

  /**
   * @param {string} url - `mqtt:` or `mqtts:`
   * @param {object} [options] - What `tls.connect()` is to know besides.
   */
  constructor(url, options) {
    const { protocol, hostname, port } = new URL(url)
    const isSecure = protocol === 'mqtts:'
    // An IPv6 address is in brackets.
    const host = hostname.replace(/^\[|\]$/g, '')
    const to = { host, port: Number(port) || (isSecure ? 8883 : 1883) }
    const servername = net.isIP(host) ? undefined : host
    this.#socket = isSecure ? tls.connect({ servername, ...options, ...to }) : net.connect(to)
    this.#socket
      .setNoDelay(true)
      .on(isSecure ? 'secureConnect' : 'connect', () => this.onopen?.())
      .on('data', (data) => this.onmessage?.({ data }))
      .on('error', (error) => {
        this.#reason = reasonOf(error)
        this.onerror?.({ message: this.#reason })
      })
      .on('close', () => this.onclose?.({ reason: this.#reason }))
  }

  get readyState() {
    return this.#socket.destroyed ? 3 : 1
  }

  get bufferedAmount() {
    return this.#socket.writableLength
  }

  send(bytes) {
    this.#socket.write(bytes)
  }

  close() {
    this.#socket.end()
  }

  /** Ends the connection without waiting for the other side. */
  terminate() {
    this.#socket.destroy()
  }
}
