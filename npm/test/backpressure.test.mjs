/**
 * A network that does not drain: a server that stops reading its socket for a while. What the SDK has handed to its own
 * socket stays within a bound.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { Socket, createServer } from 'node:net'
import { after, afterEach, test } from 'node:test'

import mqtt from 'mqtt-packet'
import { WebSocketServer } from 'ws'

import { eventually } from './eventually.mjs'
import { project } from './project.mjs'

const user = await project('backpressure')
const PubSub = user.require('thng-pubsub')
const DEFAULTS = { ...PubSub.settings }
const KEY = 'A'.repeat(80)

/** What the SDK may leave in the buffer of a socket, and add to that by one send, headers included. */
const [BOUND, SEND] = [256 * 1024, 64 * 1024 + 1024]

/** A message is long, so that few of them fill what the system keeps of a connection. */
const FILLER = 'x'.repeat(20_000)
const COUNT = 900

const stops = []

/** The most that has been in the buffer of a socket to this port. */
const watched = { port: 0, fullest: 0 }

const { write } = Socket.prototype

Socket.prototype.write = function (...args) {
  const outcome = write.apply(this, args)
  if (this.remotePort === watched.port) watched.fullest = Math.max(watched.fullest, this.writableLength)
  return outcome
}

after(() => {
  Socket.prototype.write = write
})

afterEach(async () => {
  await PubSub.close()
  PubSub.setup(DEFAULTS)
  for (const stop of stops.splice(0)) stop()
})

/**
 * A server with what it has received: the messages, and the sockets, whose reading `pause()` and `resume()` stop and
 * start.
 */
async function serve(accept) {
  const server = createServer()
  const about = { messages: [], sockets: [], port: 0 }
  const keep = (socket) => about.sockets.push(socket.on('error', () => {}))
  accept(server, about, keep)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  about.port = server.address().port
  stops.push(() => {
    for (const socket of about.sockets) socket.destroy()
    server.close()
  })
  return about
}

/** Answers MQTT as a broker does. */
function speakMqtt(about, write) {
  const parser = mqtt.parser({ protocolVersion: 4 })
  const answers = {
    connect: () => ({ cmd: 'connack', returnCode: 0, sessionPresent: false }),
    subscribe: ({ messageId, subscriptions }) => ({ cmd: 'suback', messageId, granted: subscriptions.map(() => 0) }),
    publish: ({ messageId, qos }) => qos && { cmd: 'puback', messageId },
    pingreq: () => ({ cmd: 'pingresp' })
  }
  parser.on('packet', (packet) => {
    if (packet.cmd === 'publish') about.messages.push(JSON.parse(packet.payload))
    const answer = answers[packet.cmd]?.(packet)
    if (answer) write(mqtt.generate(answer))
  })
  return (data) => parser.parse(data)
}

const overWebSocket = (speak) => (server, about, keep) => {
  const sockets = new WebSocketServer({ noServer: true, handleProtocols: () => 'mqtt' })
  server.on('connection', (socket) => {
    keep(socket)
    let head = ''
    socket.on('data', function upgrade(data) {
      head += data
      if (!head.includes('\r\n\r\n')) return
      socket.off('data', upgrade)
      const headers = Object.fromEntries(head.split('\r\n').slice(1).filter(Boolean).map((line) => {
        const [name, ...value] = line.split(': ')
        return [name.toLowerCase(), value.join(': ')]
      }))
      const request = { method: 'GET', headers }
      sockets.handleUpgrade(request, socket, Buffer.alloc(0), (webSocket) => speak(about, webSocket))
    })
  })
}

const mqttOverWebSocket = overWebSocket((about, webSocket) => {
  webSocket.on('message', speakMqtt(about, (bytes) => webSocket.send(bytes)))
})

const nativeWebSocket = overWebSocket((about, webSocket) => {
  webSocket.on('message', (data) => about.messages.push(JSON.parse(data)))
})

const mqttOverTcp = (server, about, keep) => {
  server.on('connection', (socket) => {
    keep(socket)
    socket.on('data', speakMqtt(about, (bytes) => socket.write(bytes)))
  })
}

const TRANSPORTS = [
  ['MQTT over WebSocket', mqttOverWebSocket, (port) => ({ apiUrl: `ws://127.0.0.1:${port}/mqtt` }), [0, 1]],
  ['native WebSockets', nativeWebSocket, (port) => ({ apiUrl: `http://127.0.0.1:${port}`, transport: 'websocket' }), [0]],
  ['MQTT over TCP', mqttOverTcp, (port) => ({ apiUrl: `mqtt://127.0.0.1:${port}` }), [0, 1]]
]

/** A server of a transport whose one connection is not read any more, and a publish with the number of a message. */
async function stalled([, accept, settings, qos], more = {}) {
  const about = await serve(accept)
  PubSub.setup({ ...settings(about.port), ...more })
  const resource = new PubSub.Operator(KEY, { restUrl: 'http://127.0.0.1:1' }).thng('U00000000000000000000000').property('k')
  const publish = (n) => resource.publish([{ value: `${n} ${FILLER}` }], { qos: qos[n % qos.length] })
  await publish(0)
  await eventually('the first message', () => about.messages.length === 1)
  about.sockets[0].pause()
  Object.assign(watched, { port: about.port, fullest: 0 })
  return { about, publish }
}

const numbers = ({ messages }) => messages.map(([{ value }]) => parseInt(value))

const isFull = () => watched.fullest >= BOUND

for (const transport of TRANSPORTS) {
  const [name, , , qos] = transport
  const all = Array.from({ length: COUNT }, (_, n) => n + 1)

  test(`${name}: held publishes arrive once and in order`, async () => {
    const { about, publish } = await stalled(transport)
    const settled = []
    const calls = all.map((n) => publish(n).then(() => settled.push(n)))
    await eventually('a full buffer', isFull)
    assert.ok(settled.length < COUNT, 'not everything is sent')
    about.sockets[0].resume()
    await Promise.all(calls)
    await eventually('the last message', () => about.messages.length > COUNT)
    assert.deepEqual(numbers(about), [0, ...all])
    assert.equal(about.sockets.length, 1, 'over one connection')
    assert.ok(watched.fullest <= BOUND + SEND, `${watched.fullest} bytes in the buffer`)
  })

  test(`${name}: too many held publishes reject`, async () => {
    const { about, publish } = await stalled(transport, { queueLimit: 3 })
    const refused = new Set()
    const calls = all.map((n) => publish(n).catch(({ code }) => refused.add(n) && assert.equal(code, 'QUEUE_FULL')))
    await eventually('a refusal', () => refused.size > 0)
    about.sockets[0].resume()
    await Promise.all(calls)
    const accepted = all.filter((n) => !refused.has(n))
    await eventually('what was accepted', () => about.messages.length > accepted.length)
    assert.deepEqual(numbers(about), [0, ...accepted])
  })

  test(`${name}: held publishes wait for the next connection`, async () => {
    const { about, publish } = await stalled(transport, { reconnectPeriod: 20 })
    const calls = all.map(publish)
    await eventually('a full buffer', isFull)
    about.sockets[0].destroy()
    await Promise.all(calls)
    await eventually('the last message', () => numbers(about).at(-1) === COUNT)
    const came = numbers(about)
    const isAcknowledged = (n) => qos[n % qos.length] === 1
    assert.deepEqual(came.filter((n, at) => !isAcknowledged(n) && came.indexOf(n) !== at), [], 'QoS 0 comes once')
    assert.deepEqual(all.filter((n) => isAcknowledged(n) && !came.includes(n)), [], 'QoS 1 comes')
  })

  test(`${name}: close() rejects held publishes`, async () => {
    const { publish } = await stalled(transport)
    const outcomes = all.map((n) => publish(n).catch(({ code }) => code))
    await eventually('a full buffer', isFull)
    await PubSub.close()
    assert.equal((await Promise.all(outcomes)).at(-1), 'CLOSED')
  })
}
