/**
 * What happens when things go wrong: servers that refuse, forget and fall silent, sockets that misbehave, and a
 * WebAssembly module that fails.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'

import { Broker } from './broker.mjs'
import { eventually } from './eventually.mjs'
import { project } from './project.mjs'

const user = await project('faults')
const PubSub = user.require('thng-pubsub')
const evrythng = user.require('evrythng')
const WebSocket = user.require('ws')
// What fails in these tests is the first connection.
PubSub.setup({ retryFirstConnection: false })
const DEFAULTS = { ...PubSub.settings }
const KEY = 'A'.repeat(80)
const TOPIC = '/thngs/U00000000000000000000000/properties/k'

evrythng.use(PubSub)

let broker
let events

const note = (event) => events.push(event)

async function start(answers, settings = {}) {
  broker = await Broker.start(answers)
  PubSub.setup({ apiUrl: broker.url, reconnectPeriod: 20, reconnectPeriodMax: 100, ...settings })
  return broker
}

/** The property `k` of a thng, in a scope of its own, which is made without the requests that its constructor makes. */
function property() {
  const scope = Object.create(evrythng.AccessToken.prototype, { apiKey: { value: KEY } })
  return scope.thng('U00000000000000000000000').property('k')
}

beforeEach(() => {
  events = []
  for (const type of ['connecting', 'connected', 'disconnected', 'error']) PubSub.on(type, note)
})

afterEach(async () => {
  for (const type of ['connecting', 'connected', 'disconnected', 'error']) PubSub.off(type, note)
  await PubSub.close()
  PubSub.setup(DEFAULTS)
  await broker?.stop()
  broker = undefined
})

const eventsOf = (type) => events.filter((event) => event.type === type)

async function rejection(promise) {
  const error = await promise.then(
    () => assert.fail('it should be rejected'),
    (reason) => reason
  )
  assert.ok(error instanceof PubSub.PubSubError && error instanceof Error, String(error))
  assert.equal(error.name, 'PubSubError')
  assert.match(error.message, /\w{3}.*[.]$/, 'a sentence')
  assert.ok(!error.message.includes(KEY), 'no key in what people see')
  return error
}

test('a bad key rejects with UNAUTHORIZED and is not tried again', async () => {
  for (const returnCode of [4, 5]) {
    await start({ connect: (client) => client.send({ cmd: 'connack', returnCode }) })
    const error = await rejection(property().subscribe(() => {}))
    assert.deepEqual([error.code, error.topic], ['UNAUTHORIZED', TOPIC])
    assert.match(error.message, new RegExp(`CONNACK ${returnCode}`))
    await broker.until('end of the connection', () => broker.client.isClosed)
    assert.deepEqual(events.map(({ type, retryInMs }) => [type, retryInMs]), [['connecting', undefined], ['disconnected', undefined]])
    events.length = 0
    await broker.stop()
  }
})

test('an error of the connection names the topic of each call', async () => {
  PubSub.setup({ apiUrl: 'ftp://127.0.0.1/' })
  const resource = property()
  const calls = [
    () => resource.subscribe(() => {}),
    () => resource.messages().next(),
    () => resource.publish(1),
    () => (resource.publish(1).catch(() => {}), resource.unsubscribe())
  ]
  for (const call of calls) {
    const { code, topic } = await rejection(call())
    assert.deepEqual([code, topic], ['BAD_URL', TOPIC], String(call))
  }
  const errors = await Promise.all([property(), property()].map((other) => rejection(other.publish(1))))
  assert.notEqual(errors[0], errors[1], 'each call has an error of its own')
})

test('after a refusal the next call connects anew', async () => {
  let returnCode = 5
  await start({ connect: (client) => client.send({ cmd: 'connack', returnCode, sessionPresent: false }) })
  const resource = property()
  assert.equal((await rejection(resource.publish(1))).code, 'UNAUTHORIZED')
  returnCode = 0
  await resource.publish(2, { qos: 1 })
})

test('a refused subscription rejects with its topic, and the connection stays', async () => {
  await start({
    subscribe: (client, { messageId }) => client.send({ cmd: 'suback', messageId, granted: [128] })
  })
  const resource = property()
  const error = await rejection(resource.subscribe(() => assert.fail('called back')))
  assert.deepEqual([error.code, error.topic], ['SUBSCRIBE_REFUSED', TOPIC])
  await resource.publish(1, { qos: 1 })
  broker.client.filters.add(TOPIC)
  broker.deliver(TOPIC, '[]')
  await resource.publish(2, { qos: 1 })
  assert.equal(broker.clients.length, 1)
})

test('a WebSocket that is refused rejects with HANDSHAKE and what was said', async () => {
  await start({ upgrade: () => 403 })
  const error = await rejection(property().subscribe(() => {}))
  assert.equal(error.code, 'HANDSHAKE')
  assert.match(error.message, /403/)
  assert.ok(error.message.includes(broker.url))
})

test('a server that is not there rejects with HANDSHAKE', async () => {
  PubSub.setup({ apiUrl: 'ws://127.0.0.1:9/mqtt' })
  const error = await rejection(property().subscribe(() => {}))
  assert.equal(error.code, 'HANDSHAKE')
  assert.match(error.message, /ECONNREFUSED/)
})

test('a server that accepts and says nothing times out', async () => {
  const sockets = []
  const silent = createServer((socket) => sockets.push(socket)).listen(0, '127.0.0.1')
  await once(silent, 'listening')
  PubSub.setup({ apiUrl: `ws://127.0.0.1:${silent.address().port}/mqtt`, connectTimeout: 300 })
  assert.equal((await rejection(property().subscribe(() => {}))).code, 'TIMEOUT')
  for (const socket of sockets) socket.destroy()
  silent.close()
})

test('a CONNACK that never comes times out', async () => {
  await start({ connect() {} }, { connectTimeout: 300 })
  assert.equal((await rejection(property().publish(1))).code, 'TIMEOUT')
})

test('what is not MQTT rejects with PROTOCOL', async () => {
  await start({ connect: (client) => client.sendRaw('hello') })
  assert.equal((await rejection(property().publish(1))).code, 'PROTOCOL')
})

test('an implementation that fires error and never close is understood', async () => {
  // As Node.js 22's own WebSocket does with a refused handshake.
  class Broken {
    constructor() {
      setTimeout(() => this.onerror({ message: 'Received network error or non-101 status code.' }), 10)
    }
    close() {}
    send() {}
  }
  PubSub.setup({ apiUrl: 'ws://127.0.0.1:9/mqtt', WebSocket: Broken })
  const error = await rejection(property().subscribe(() => {}))
  assert.equal(error.code, 'HANDSHAKE')
  assert.match(error.message, /non-101/)
})

test('an implementation that throws is understood', async () => {
  class Throwing {
    constructor() {
      throw new SyntaxError('an insecure WebSocket may not be made from a page loaded over HTTPS')
    }
  }
  PubSub.setup({ apiUrl: 'ws://127.0.0.1:9/mqtt', WebSocket: Throwing })
  const error = await rejection(property().subscribe(() => {}))
  assert.equal(error.code, 'HANDSHAKE')
  assert.match(error.message, /insecure/)
})

test('a lost connection is made again with its subscriptions, and publishes wait', async () => {
  await start()
  const resource = property()
  const values = []
  await resource.subscribe(([{ value }]) => values.push(value), { pubStates: true })
  broker.client.drop()
  await eventually('a disconnected event', () => eventsOf('disconnected').length === 1)
  const waiting = resource.publish(1, { qos: 1 })
  await broker.until('second connection', () => broker.clients.length === 2)
  await waiting
  const [subscription] = broker.client.packets.filter(({ cmd }) => cmd === 'subscribe')
  assert.equal(subscription.subscriptions[0].topic, `${TOPIC}?pubStates=1&markStates=1`)
  broker.deliver(`${TOPIC}?pubStates=1&markStates=1`, '[{"value":2}]')
  await resource.publish(3, { qos: 1 })
  assert.deepEqual(values, [2])
  assert.deepEqual(events.map(({ type }) => type), ['connecting', 'connected', 'disconnected', 'connecting', 'connected'])
  const [{ error, retryInMs }] = eventsOf('disconnected')
  assert.equal(error.code, 'CONNECTION_LOST')
  assert.ok(retryInMs >= 0 && retryInMs <= 20)
})

test('an acknowledgement that is withheld is asked for again with DUP and the same identifier', async () => {
  let withheld = 0
  await start({
    publish(client, { messageId }) {
      if (withheld++ === 0) client.drop()
      else client.send({ cmd: 'puback', messageId })
    }
  })
  await property().publish('once', { qos: 1 })
  const [first, again] = broker.packets('publish')
  assert.deepEqual([first.dup, again.dup], [false, true])
  assert.equal(first.messageId, again.messageId)
  assert.deepEqual(first.payload, again.payload)
})

test('a publish that the server closes on is refused in the end, and others are not', async () => {
  await start({
    publish(client, { messageId, topic, payload }) {
      if (String(payload).includes('poison')) client.close(1008, 'not allowed')
      else client.send({ cmd: 'puback', messageId })
    }
  })
  const resource = property()
  const calls = [resource.publish('good', { qos: 1 }), resource.publish('poison', { qos: 1 }), resource.publish('fine', { qos: 1 })]
  const [good, poison, fine] = await Promise.allSettled(calls)
  assert.deepEqual([good.status, poison.status, fine.status], ['fulfilled', 'rejected', 'fulfilled'])
  assert.deepEqual([poison.reason.code, poison.reason.topic], ['PUBLISH_REFUSED', TOPIC])
  assert.match(poison.reason.message, /1008, not allowed/)
})

test('a server that acknowledges nothing is a timeout', async () => {
  await start({ publish() {} }, { answerTimeout: 100 })
  const error = await rejection(property().publish(1, { qos: 1 }))
  assert.equal(error.code, 'TIMEOUT')
  assert.equal(broker.clients.length, 3)
})

test('a connection without a sign of life is made again', async () => {
  await start({ pingreq() {} }, { keepAlive: 1 })
  const resource = property()
  const values = []
  await resource.subscribe(([{ value }]) => values.push(value))
  await broker.until('second connection', () => broker.clients.length === 2)
  assert.equal(eventsOf('disconnected')[0].error.code, 'TIMEOUT')
  await resource.publish(5, { qos: 1 })
  assert.deepEqual(values, [5])
})

test('pings keep a quiet connection', async () => {
  await start({}, { keepAlive: 1 })
  await property().subscribe(() => {})
  await broker.until('three pings', () => broker.packets('pingreq').length === 3)
  assert.equal(broker.clients.length, 1)
})

test('the queue is bounded', async () => {
  await start({ connect() {} }, { queueLimit: 2 })
  const resource = property()
  const calls = [resource.publish(1), resource.publish(2), resource.publish(3)]
  const error = await rejection(calls[2])
  assert.deepEqual([error.code, error.topic], ['QUEUE_FULL', TOPIC])
  await PubSub.close()
  for (const call of calls.slice(0, 2)) assert.equal((await rejection(call)).code, 'CLOSED')
})

test('close() says goodbye and rejects what waits', async () => {
  await start({ subscribe() {} })
  const resource = property()
  await resource.publish(1)
  const waiting = resource.subscribe(() => {})
  await broker.until('SUBSCRIBE', () => broker.packets('subscribe').length === 1)
  await PubSub.close()
  assert.equal((await rejection(waiting)).code, 'CLOSED')
  await broker.until('end of the connection', () => broker.client.isClosed)
  assert.equal(broker.packets('disconnect').length, 1)
  assert.equal(eventsOf('error').length, 0)
  await resource.publish(2, { qos: 1 })
  assert.equal(broker.clients.length, 2, 'the next call opens a new connection')
})

test('a key that is revoked while connected is reported and ends the connection', async () => {
  let returnCode = 0
  await start({ connect: (client) => client.send({ cmd: 'connack', returnCode, sessionPresent: false }) })
  await property().subscribe(() => {})
  returnCode = 5
  broker.client.drop()
  await eventually('an error event', () => eventsOf('error').length === 1)
  assert.equal(eventsOf('error')[0].error.code, 'UNAUTHORIZED')
  assert.equal(eventsOf('disconnected').at(-1).retryInMs, undefined)
})

test('a thousand publishes of QoS 1 come back in order', async () => {
  await start()
  const resource = property()
  const values = []
  await resource.subscribe(([{ value }]) => values.push(value), { qos: 1 })
  await Promise.all(Array.from({ length: 1000 }, (_, n) => resource.publish(n, { qos: 1 })))
  assert.deepEqual(values, [...Array(1000).keys()])
})

/** The names of the module's exports, by those in Rust. */
const EXPORTS = new Map(JSON.parse(readFileSync(new URL('../pkg/core-names.json', import.meta.url), 'utf8')).exports)

/** Makes an export of the next instances fail as a trap does, whenever `isBroken` says so. */
function sabotage(name, isBroken) {
  const { Instance } = WebAssembly
  const short = EXPORTS.get(name)
  WebAssembly.Instance = function (module, imports) {
    const { exports } = new Instance(module, imports)
    const sabotaged = (...args) => {
      if (isBroken()) throw new WebAssembly.RuntimeError('unreachable')
      return exports[short](...args)
    }
    return { exports: { ...exports, [short]: sabotaged } }
  }
  return () => (WebAssembly.Instance = Instance)
}

/** A copy of the package whose module has not been instantiated yet. */
function freshPubSub() {
  const path = user.require.resolve('thng-pubsub')
  delete user.require.cache[path]
  const fresh = user.require(path)
  const events = []
  for (const type of ['connected', 'disconnected', 'error']) fresh.on(type, (event) => events.push(event))
  evrythng.use(fresh)
  return { fresh, events }
}

test('a trap rejects what was under way, is reported, and costs no subscription', async () => {
  await start()
  let traps = 1
  const restore = sabotage('connection_publish', () => traps-- > 0)
  const { fresh, events } = freshPubSub()
  try {
    fresh.setup({ apiUrl: broker.url })
    const [resource, other] = [property(), property()]
    const values = []
    await resource.subscribe(([{ value }]) => values.push(`one ${value}`))
    await other.subscribe(([{ value }]) => values.push(`two ${value}`))
    const error = await resource.publish(1, { qos: 1 }).catch((reason) => reason)
    assert.equal(error.code, 'ENGINE_FAILED')
    assert.ok(error.cause instanceof WebAssembly.RuntimeError)
    await broker.until('subscriptions of the new instance', () => broker.packets('subscribe').length === 4)
    await resource.publish(2, { qos: 1 })
    await other.publish(3, { qos: 1 })
    await eventually('both updates on both connections', () => values.length === 4)
    assert.deepEqual(values.sort(), ['one 2', 'one 3', 'two 2', 'two 3'])
    const errors = events.filter(({ type }) => type === 'error')
    assert.deepEqual(errors.map(({ error: { code } }) => code), ['ENGINE_FAILED', 'ENGINE_FAILED'], 'one for each connection')
    assert.ok(broker.clients.slice(0, 2).every(({ isClosed }) => isClosed), 'the old sockets are closed')
  } finally {
    restore()
    await fresh.close()
    evrythng.use(PubSub)
  }
})

test('whoever hears of a trap may call the plugin at once, also on another connection', async () => {
  await start()
  let traps = 1
  const restore = sabotage('connection_publish', () => traps-- > 0)
  const { fresh } = freshPubSub()
  try {
    fresh.setup({ apiUrl: broker.url })
    const [resource, other] = [property(), property()]
    await resource.subscribe(() => {})
    await other.subscribe(() => {})
    const calls = []
    fresh.on('error', () => calls.push(resource.publish('a', { qos: 1 }), other.publish('b', { qos: 1 })))
    const { code } = await resource.publish(1, { qos: 1 }).catch((reason) => reason)
    assert.equal(code, 'ENGINE_FAILED')
    const outcomes = await Promise.allSettled(calls)
    assert.deepEqual(outcomes.map(({ status }) => status), Array(4).fill('fulfilled'))
  } finally {
    restore()
    await fresh.close()
    evrythng.use(PubSub)
  }
})

test('a subscription that was under way during a trap is not made behind the back of its call', async () => {
  await start()
  let traps = 1
  const restore = sabotage('connection_received', () => traps-- > 0)
  const { fresh } = freshPubSub()
  try {
    fresh.setup({ apiUrl: broker.url })
    const resource = property()
    const error = await resource.subscribe(() => {}).catch((reason) => reason)
    assert.equal(error.code, 'ENGINE_FAILED')
    await resource.publish(1, { qos: 1 })
    assert.equal(broker.packets('subscribe').length, 0)
  } finally {
    restore()
    await fresh.close()
    evrythng.use(PubSub)
  }
})

test('a module that traps again and again is given up', async () => {
  await start()
  let isBroken = false
  const restore = sabotage('connection_received', () => isBroken)
  const { fresh, events } = freshPubSub()
  try {
    fresh.setup({ apiUrl: broker.url })
    await property().subscribe(() => {})
    isBroken = true
    broker.deliver(TOPIC, '[]')
    await eventually('the end', () => events.some(({ type, retryInMs }) => type === 'disconnected' && retryInMs === undefined))
    assert.equal(events.filter(({ type }) => type === 'error').length, 4)
    assert.equal(broker.clients.length, 4)
  } finally {
    restore()
    await fresh.close()
    evrythng.use(PubSub)
  }
})

test('where WebAssembly is forbidden, calls reject and say what to allow', async () => {
  await start()
  const { Module } = WebAssembly
  WebAssembly.Module = function () {
    throw new WebAssembly.CompileError("violates the following Content Security Policy directive: \"script-src 'self'\"")
  }
  const { fresh } = freshPubSub()
  try {
    fresh.setup({ apiUrl: broker.url })
    const error = await property().subscribe(() => {}).catch((reason) => reason)
    assert.equal(error.code, 'WASM_BLOCKED')
    assert.match(error.message, /'wasm-unsafe-eval'/)
    WebAssembly.Module = Module
    await property().publish(1, { qos: 1 })
  } finally {
    WebAssembly.Module = Module
    await fresh.close()
    evrythng.use(PubSub)
  }
})

/** Runs a program of the project in a process of its own, in which an unhandled rejection is fatal. */
async function program(name, source, url = broker?.url ?? 'ws://127.0.0.1:9/mqtt') {
  const head = `
    const evrythng = require('evrythng')
    const PubSub = require('thng-pubsub')
    evrythng.use(PubSub)
    const key = 'A'.repeat(80)
    PubSub.setup({ apiUrl: process.env.BROKER, reconnectPeriod: 20, connectTimeout: 500 })
    const scope = Object.create(evrythng.AccessToken.prototype, { apiKey: { value: key } })
    const property = scope.thng('U00000000000000000000000').property('k')
  `
  await writeFile(join(user.folder, name), head + source)
  return user.run(process.execPath, ['--unhandled-rejections=strict', name], { BROKER: url })
}

test('a program ends by itself after close()', async () => {
  await start()
  const source = `
    property.subscribe(([{ value }]) => {
      console.log(value)
      PubSub.close()
    }).then(() => property.publish(5))
  `
  const { code, stdout, stderr } = await program('ends.cjs', source)
  assert.deepEqual([code, stdout, stderr], [0, '5\n', ''])
})

test('a program ends by itself after close() although the server never answers it', async () => {
  const mute = await muteServer()
  const source = `property.publish(1).then(PubSub.close)`
  const started = Date.now()
  const { code, stderr } = await program('mute.cjs', source, `ws://127.0.0.1:${mute.address().port}/mqtt`)
  assert.deepEqual([code, stderr], [0, ''])
  assert.ok(Date.now() - started < 10_000, 'it does not wait for the other side')
  mute.close()
})

/** A server that accepts a WebSocket and an MQTT connection, and does nothing more, ever. */
async function muteServer() {
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', (head) => {
      const [, nonce] = /sec-websocket-key: (.*)\r\n/i.exec(String(head))
      const accept = createHash('sha1').update(`${nonce}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
      socket.write(
        'HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n' +
          `sec-websocket-protocol: mqtt\r\nsec-websocket-accept: ${accept}\r\n\r\n`
      )
      // One binary frame with a CONNACK.
      socket.once('data', () => socket.write(Buffer.from([0x82, 4, 0x20, 2, 0, 0])))
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}

test('a program ends by itself after a refusal, and nothing is unhandled', async () => {
  const source = `
    PubSub.setup({ retryFirstConnection: false })
    property.subscribe(() => {}).catch(({ code }) => console.log(code))
  `
  const { code, stdout, stderr } = await program('refused.cjs', source)
  assert.deepEqual([code, stdout, stderr], [0, 'HANDSHAKE\n', ''])
})

test('an error that nobody listens to is written to the console and is not fatal', async () => {
  await start()
  const source = `
    const onMessage = () => {
      setImmediate(PubSub.close)
      throw new Error('boom')
    }
    property.subscribe(onMessage).then(() => property.publish(1))
  `
  const { code, stderr } = await program('console.cjs', source)
  assert.equal(code, 0)
  assert.match(stderr, /boom/)
})
