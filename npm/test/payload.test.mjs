/**
 * What is written for each kind of payload, by a publish and by REST, and what is refused before it is sent.
 */
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { after, test } from 'node:test'
import { once } from 'node:events'

import { Broker } from './broker.mjs'
import { project } from './project.mjs'

const user = await project('payload')
const PubSub = user.require('thng-pubsub')
const broker = await Broker.start()

after(async () => {
  await PubSub.close()
  await broker.stop()
})

const thng = new PubSub.Operator('A'.repeat(80), { apiUrl: broker.apiUrl }).thng('U1')
const property = thng.property('k')

const circular = { name: 'x' }
circular.self = circular

/** What JSON cannot say, and what the error says of it. */
const REFUSED = {
  'a BigInt': [10n, /BigInt/],
  'a BigInt inside': [{ value: { n: 10n } }, /BigInt/],
  'an object in itself': [{ value: circular }, /circular/],
  'half of a surrogate pair': [{ value: 'a\ud800' }, /surrogate/],
  'half of a surrogate pair in a name': [{ value: { 'a\udc00': 1 } }, /surrogate/],
  NaN: [NaN, /NaN/],
  'NaN as an object': [{ value: Object(NaN) }, /NaN/],
  'an infinite number': [{ value: [-Infinity] }, /-Infinity/],
  'a Map': [new Map([['a', 1]]), /Map/],
  'a Set inside': [{ value: new Set([1]) }, /Set/],
  'a function': [() => {}, /Function/],
  'a symbol': [Symbol('a'), /Symbol/],
  'a promise': [Promise.resolve(1), /Promise/],
  'a date that is none': [new Date(NaN), /Date/],
  'bytes that are no text': [new Uint8Array([0xff]), /UTF-8/],
  'more than a server takes': ['ü'.repeat(600_000), /1200015 bytes.*1048576/]
}

for (const [name, [payload, reason]] of Object.entries(REFUSED)) {
  test(`${name} is refused before it is sent`, async () => {
    const [requests, publishes] = [broker.requests.length, broker.packets('publish').length]
    for (const call of [() => property.publish(payload, { qos: 1 }), () => property.update(payload), () => thng.create({ value: payload })]) {
      const error = await call().then(() => assert.fail('it was sent'), (rejection) => rejection)
      if (name === 'more than a server takes') assert.match(error.message, /bytes, and a server takes at most 1048576/)
      else if (!(call.toString().includes('create') && name === 'a function')) assert.match(error.message, reason)
      assert.equal(error.code, 'INVALID_PAYLOAD')
      assert.match(error.topic, /^\/thngs\/U1/)
    }
    assert.deepEqual([broker.requests.length, broker.packets('publish').length], [requests, publishes])
  })
}

/** What is stored for a payload of a property. */
const WRITTEN = {
  'a Buffer': [Buffer.from('grün'), [{ value: 'grün' }]],
  'a typed array in a larger buffer': [new Uint8Array(Buffer.from('xaby')).subarray(1, 3), [{ value: 'ab' }]],
  'an ArrayBuffer': [new Uint8Array([0x61]).buffer, [{ value: 'a' }]],
  'bytes with their time': [{ value: Buffer.from('a'), timestamp: 5 }, [{ value: 'a', timestamp: 5 }]],
  'a Date': [new Date(0), [{ value: '1970-01-01T00:00:00.000Z' }]],
  'a Date for a property': [{ since: new Date(0), n: 1 }, [{ key: 'since', value: '1970-01-01T00:00:00.000Z' }, { key: 'n', value: 1 }]],
  'an object with a form of its own': [{ toJSON: () => 5 }, [{ value: 5 }]],
  'an object without prototype': [Object.assign(Object.create(null), { a: 1 }), [{ key: 'a', value: 1 }]],
  'an instance of a class': [new (class Reading { value = 5 })(), [{ value: 5 }]],
  'a number as an object': [{ value: [Object(5), Object('a'), Object(true)] }, [{ value: [5, 'a', true] }]],
  'half a surrogate that is a whole one': ['😀', [{ value: '😀' }]]
}

for (const [name, [payload, written]] of Object.entries(WRITTEN)) {
  test(`${name} is written by both ways`, async () => {
    await property.publish(payload, { qos: 1 })
    assert.deepEqual(JSON.parse(broker.packets('publish').at(-1).payload), written)
    await property.update(payload)
    assert.deepEqual(broker.requests.at(-1).body, written)
  })
}

test('elsewhere than on properties bytes and text are the message', async () => {
  for (const payload of ['{"name":"x"}', Buffer.from('{"name":"x"}')]) {
    await thng.publish(payload, { qos: 1 })
    assert.equal(String(broker.packets('publish').at(-1).payload), '{"name":"x"}')
  }
})

test('a text message is measured as it is sent, and not as JSON', async () => {
  const bytesMax = 1024 * 1024
  for (const make of [(text) => text, Buffer.from]) {
    const text = '"'.repeat(bytesMax)
    await thng.publish(make(text), { qos: 1 })
    assert.equal(String(broker.packets('publish').at(-1).payload), text)
    const error = await thng.publish(make(`${text}.`), { qos: 1 }).then(() => assert.fail('it was sent'), (reason) => reason)
    assert.equal(error.code, 'INVALID_PAYLOAD')
    assert.match(error.message, /it has 1048577 bytes/)
  }
})

test('a parameter with half of a surrogate pair is refused', async () => {
  await assert.rejects(thng.read({ params: { filter: 'name=\ud800' } }), { code: 'INVALID_PAYLOAD' })
})

test('without fetch() REST says so', async () => {
  const { fetch } = globalThis
  delete globalThis.fetch
  try {
    await assert.rejects(thng.read(), { code: 'NO_FETCH', topic: '/thngs/U1' })
  } finally {
    globalThis.fetch = fetch
  }
})

test('a name whose addresses all fail says why', async (t) => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  await once(server, 'close')
  // As Node.js says it of a name with two addresses.
  const causes = ['::1', '127.0.0.1'].map((address) => Object.assign(new Error(`connect ECONNREFUSED ${address}:${port}`), { code: 'ECONNREFUSED' }))
  const net = await import('node:net')
  const connect = t.mock.method(net.default.Socket.prototype, 'connect', function () {
    process.nextTick(() => this.destroy(Object.assign(new AggregateError(causes), { code: 'ECONNREFUSED' })))
    return this
  })
  for (const scheme of ['ws', 'mqtt']) {
    const scope = new PubSub.Operator('A'.repeat(80), { apiUrl: `${scheme}://two.test:${port}`, retryFirstConnection: false })
    const error = await scope.thng('U1').publish(1).catch((rejection) => rejection)
    assert.equal(error.code, 'HANDSHAKE')
    assert.match(error.message, /ECONNREFUSED ::1:\d+; connect ECONNREFUSED 127.0.0.1/, scheme)
  }
  assert.ok(connect.mock.callCount() >= 2)
})
