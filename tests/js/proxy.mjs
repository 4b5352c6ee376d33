// A way to the server that a test can cut, and keep shut for a while: how a client loses its connection unasked.
// It passes bytes on and knows nothing of what they mean.

import { once } from 'node:events'
import { connect, createServer } from 'node:net'

export class TcpProxy {
  #isOpen = true
  #sockets = new Set()
  #server

  /** Starts one to `host:port`. */
  static async start (to) {
    const proxy = new TcpProxy()
    const [host, port] = to.split(':')
    proxy.#server = createServer(client => proxy.#passOn(client, () => connect({ host, port, noDelay: true })))
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    return proxy
  }

  /** Where clients connect to, on this machine. */
  get port () {
    return this.#server.address().port
  }

  /** Ends every connection, towards both sides; the next one is let through. */
  cut () {
    for (const socket of this.#sockets) socket.destroy()
  }

  /** Ends every connection, and lets none through until `open`. */
  shut () {
    this.#isOpen = false
    this.cut()
  }

  /** Lets connections through again. */
  open () {
    this.#isOpen = true
  }

  close () {
    this.cut()
    this.#server.close()
  }

  #passOn (client, reach) {
    // Shut, it still accepts and then closes, so that no other process gets the port meanwhile.
    if (!this.#isOpen) return client.destroy()
    const server = reach()
    client.pipe(server).pipe(client)
    for (const [end, other] of [[client, server], [server, client]]) {
      this.#sockets.add(end)
      end.on('error', () => {})
      end.on('close', () => {
        this.#sockets.delete(end)
        other.destroy()
      })
    }
  }
}
