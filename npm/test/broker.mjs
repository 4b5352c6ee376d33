/**
 * A small scripted MQTT broker on a WebSocket, also for wrong answers: the server of the fault tests.
 */
import { once } from 'node:events'
import { createServer } from 'node:http'

import mqtt from 'mqtt-packet'
import { WebSocketServer } from 'ws'

/** The topic on which our server says why it refuses a publish. */
export const REJECTIONS = '$thng-pubsub/rejections'

/** What a broker that works answers; `this` is the broker. */
const POLITE = {
  connect: (client) => client.send({ cmd: 'connack', returnCode: 0, sessionPresent: false }),
  subscribe(client, { messageId, subscriptions }) {
    for (const { topic } of subscriptions) client.filters.add(topic)
    client.send({ cmd: 'suback', messageId, granted: subscriptions.map(({ qos }) => qos) })
  },
  unsubscribe(client, { messageId, unsubscriptions }) {
    for (const topic of unsubscriptions) client.filters.delete(topic)
    client.send({ cmd: 'unsuback', messageId })
  },
  publish(client, { messageId, qos, topic, payload }) {
    if (qos) client.send({ cmd: 'puback', messageId })
    this.deliver(topic, payload)
  },
  pingreq: (client) => client.send({ cmd: 'pingresp' }),
  puback() {},
  disconnect() {}
}

export class Broker {
  /** Every connection there has been; the last is the current one. */
  clients = []
  /** REST requests that came, for evrythng.js. */
  requests = []
  #answers
  #server = createServer((request, response) => this.#serve(request, response))
  #waiting = new Set()

  /**
   * @param {object} answers - Functions by packet type that replace those of a broker that works. `upgrade` may
   * return an HTTP status to refuse a WebSocket with, and `rejections` whether it leaves the question for the topic of
   * rejections without an answer.
   */
  static async start(answers = {}) {
    const broker = new Broker()
    broker.#answers = { ...POLITE, ...answers }
    await broker.#listen()
    return broker
  }

  async #listen() {
    const sockets = new WebSocketServer({ noServer: true, handleProtocols: () => 'mqtt' })
    this.#server.on('upgrade', (request, socket, head) => {
      const status = this.#answers.upgrade?.(request)
      if (status) {
        socket.end(`HTTP/1.1 ${status} Refused\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`)
        return
      }
      sockets.handleUpgrade(request, socket, head, (webSocket) => this.#accept(webSocket, request))
    })
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    const { port } = this.#server.address()
    this.apiUrl = `http://127.0.0.1:${port}`
    this.url = `ws://127.0.0.1:${port}/mqtt`
  }

  #accept(webSocket, request) {
    const client = new Client(webSocket, request)
    this.clients.push(client)
    const parser = mqtt.parser({ protocolVersion: 4 })
    parser.on('packet', (packet) => {
      // Every connection asks for it first. One that does not know it refuses it, and the tests are about the others.
      if (packet.cmd === 'subscribe' && packet.subscriptions[0].topic === REJECTIONS) {
        if (!this.#answers.rejections?.(client)) client.send({ cmd: 'suback', messageId: packet.messageId, granted: [128] })
        return
      }
      client.packets.push(packet)
      this.#answers[packet.cmd].call(this, client, packet)
      this.#look()
    })
    webSocket.on('message', (data) => parser.parse(data))
    webSocket.on('close', () => {
      client.isClosed = true
      this.#look()
    })
    webSocket.on('error', () => {})
    this.#look()
  }

  #serve(request, response) {
    let body = ''
    request.on('data', (data) => (body += data))
    request.on('end', () => {
      this.requests.push({ method: request.method, path: request.url, body: body && JSON.parse(body) })
      const answer = request.url === '/access' ? { actor: { id: 'U00000000000000000000000', type: 'operator' } } : {}
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body ? JSON.parse(body) : answer))
    })
  }

  get client() {
    return this.clients.at(-1)
  }

  /** Sends a message to every connection that has subscribed to exactly this topic. */
  deliver(topic, payload, qos = 0) {
    for (const client of this.clients) {
      if (client.filters.has(topic)) client.send({ cmd: 'publish', topic, payload, qos, messageId: qos ? 1 : undefined })
    }
  }

  /** Resolves with what `find` finds, as soon as it finds something. */
  until(what, find, ms = 10_000) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(look)
        reject(new Error(`there was no ${what} within ${ms} ms`))
      }, ms)
      const look = () => {
        const found = find(this)
        if (!found) return
        clearTimeout(timer)
        this.#waiting.delete(look)
        resolve(found)
      }
      this.#waiting.add(look)
      look()
    })
  }

  /** The packets of one kind that have come on all connections. */
  packets(cmd) {
    return this.clients.flatMap((client) => client.packets).filter((packet) => packet.cmd === cmd)
  }

  #look() {
    for (const look of [...this.#waiting]) look()
  }

  async stop() {
    for (const client of this.clients) client.drop()
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }
}

class Client {
  packets = []
  filters = new Set()
  isClosed = false
  #webSocket

  constructor(webSocket, request) {
    this.#webSocket = webSocket
    this.path = request.url
    this.protocol = request.headers['sec-websocket-protocol']
  }

  send(packet) {
    if (!this.isClosed) this.#webSocket.send(mqtt.generate(packet))
  }

  sendRaw(data) {
    this.#webSocket.send(data)
  }

  /** Ends the connection without a word. */
  drop() {
    this.filters.clear()
    this.#webSocket.terminate()
  }

  /** Ends the connection as a server does that means it. */
  close(code, reason) {
    this.filters.clear()
    this.#webSocket.close(code, reason)
  }
}
