/**
 * The native WebSocket transport, one socket for each topic, against our own server.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { afterEach, test } from 'node:test'
import { inspect } from 'node:util'

import { WebSocketServer } from 'ws'

import { lineTo } from './line.mjs'
import { project } from './project.mjs'
import { createThng, key, rest, url } from './server.mjs'

const user = await project('native')
const PubSub = user.require('thng-pubsub')
const evrythng = user.require('evrythng')
const DEFAULTS = { ...PubSub.settings }
const line = await lineTo(url)

evrythng.setup({ apiUrl: url, apiVersion: 1, geolocation: false })
evrythng.use(PubSub)

afterEach(async () => {
  await PubSub.close()
  PubSub.setup(DEFAULTS)
  line.mend()
})

const operator = (options) => new PubSub.Operator(key, { apiUrl: url, transport: 'websocket', ...options })

async function thng(options) {
  const { id } = await createThng()
  return operator(options).thng(id)
}

async function rejection(promise, code) {
  const error = await promise.then(
    () => assert.fail('it should be rejected'),
    (reason) => reason
  )
  assert.equal(error.code, code, inspect(error))
  return error
}

/** The next event of a kind that `isMeant`. */
function event(type, isMeant = () => true) {
  return new Promise((resolve) => {
    const listener = (about) => {
      if (!isMeant(about)) return
      PubSub.off(type, listener)
      resolve(about)
    }
    PubSub.on(type, listener)
  })
}

/** How many sockets the server has open. */
async function sockets() {
  const text = await (await fetch(`${url}/metrics`)).text()
  return Number(/^thng_pubsub_connections\{protocol="websocket"\} (\d+)/m.exec(text)?.[1] ?? 0)
}

async function untilSockets(count) {
  while ((await sockets()) !== count);
}

test('what is published on a topic comes back on its socket, and is stored', async () => {
  const { id } = await createThng()
  const property = operator().thng(id).property('temperature')
  const messages = property.messages()
  const first = messages.next()
  await (await property.subscribe(() => {})).close()
  await property.publish(21.5)
  const { value: [update] } = await first
  assert.deepEqual([update.key, update.value], ['temperature', 21.5])
  const [stored] = await rest('GET', `/thngs/${id}/properties/temperature`)
  assert.deepEqual([stored.value, stored.timestamp], [21.5, update.timestamp])
  await messages.return()
})

test('what the server calls a wrong request is final', async () => {
  const resource = await thng()
  const subscribed = resource.property('k').subscribe(() => {}, { project: 'no id' })
  await assert.rejects(subscribed, { code: 'SUBSCRIBE_REFUSED', message: /k\?project=no%20id/ })
})

test('the plugin gives entities over it, by the setting and by the option of a call', async () => {
  const { id } = await createThng()
  const scope = new evrythng.Operator(key)
  await scope.init()
  const property = scope.thng(id).property('k')
  for (const options of [{ transport: 'websocket' }, undefined]) {
    if (!options) PubSub.setup({ transport: 'websocket' })
    const before = await sockets()
    const received = new Promise((resolve) => property.subscribe(resolve, options).then(() => property.update(1)))
    const [update] = await received
    assert.equal(typeof update.update, 'function', 'it is an entity')
    assert.equal(await sockets(), before + 1)
    await property.unsubscribe()
    await untilSockets(before)
  }
})

test('each topic has a socket of its own, several callbacks share it, and the last one closes it', async () => {
  const before = await sockets()
  const resource = await thng()
  const [a, b, c] = await Promise.all([
    resource.property('a').subscribe(() => {}),
    resource.property('a').subscribe(() => {}),
    resource.property('b').subscribe(() => {})
  ])
  await untilSockets(before + 2)
  await b.close()
  await c.close()
  await untilSockets(before + 1)
  await a.close()
  await untilSockets(before)
})

test('the state comes first where it is asked for', async () => {
  const resource = await thng()
  await resource.property('k').update(7)
  const messages = resource.property('k').messages({ pubStates: true })
  const { value: [state] } = await messages.next()
  assert.equal(state.value, 7)
  await messages.return()
})

test('a key or an id that the server does not know rejects with what to do, and is not tried again', async () => {
  const stranger = new PubSub.Operator('x'.repeat(80), { apiUrl: url, transport: 'websocket' })
  const { id } = await createThng()
  const refused = await rejection(stranger.thng(id).property('k').subscribe(() => {}), 'SUBSCRIBE_REFUSED')
  assert.match(refused.message, new RegExp(`/thngs/${id}/properties/k`))
  assert.doesNotMatch(inspect(refused), /xxxxxxxx/, 'the key is in no error')
  await rejection(operator().thng('U'.repeat(24)).subscribe(() => {}), 'SUBSCRIBE_REFUSED')
  await rejection(operator().thng('U'.repeat(24)).publish({ name: 'x' }), 'SUBSCRIBE_REFUSED')
})

test('a socket that cannot be opened is reported once, with its topic', async () => {
  const property = operator().thng('U'.repeat(24)).property('k')
  const reported = event('disconnected', ({ topic }) => topic === property.path)
  await rejection(property.subscribe(() => {}), 'SUBSCRIBE_REFUSED')
  const { error, retryInMs } = await reported
  assert.deepEqual([error.code, error.topic, retryInMs], ['SUBSCRIBE_REFUSED', property.path, undefined])
})

test('a socket that is closed because it is not needed is no loss', async () => {
  const lost = []
  const listener = (about) => lost.push(about)
  PubSub.on('disconnected', listener)
  const before = await sockets()
  const resource = await thng()
  await resource.property('b').subscribe(() => {})
  const subscription = await resource.property('k').subscribe(() => {})
  await subscription.close()
  await untilSockets(before + 1)
  assert.deepEqual(lost, [])
  await PubSub.close()
  PubSub.off('disconnected', listener)
  assert.deepEqual(lost.map(({ topic, error }) => [topic, error.code]), [[undefined, 'CLOSED']])
})

test('a connection that is lost comes back by itself, with its subscriptions and their states', async () => {
  PubSub.setup({ reconnectPeriod: 1 })
  const resource = await thng({ apiUrl: line.address })
  const messages = resource.property('k').messages({ pubStates: true })
  const first = messages.next()
  await resource.property('k').publish(1)
  assert.equal((await first).value[0].value, 1)
  const lost = event('disconnected')
  line.cut()
  const { error, retryInMs, topic } = await lost
  assert.equal(error.code, 'CONNECTION_LOST')
  assert.ok(retryInMs >= 0)
  assert.equal(topic, `${resource.path}/properties/k?pubStates=1&markStates=1`)
  await rest('PUT', `${resource.path}/properties/k`, [{ value: 2 }])
  const queued = resource.property('k').publish(3)
  line.mend()
  await queued
  const seen = []
  while (seen.at(-1) !== 3) seen.push((await messages.next()).value[0].value)
  assert.deepEqual(seen.filter((value) => value === 2 || value === 3), seen)
  await messages.return()
})

test('what was taken away while the connection was lost ends its messages, and is not asked for again', async () => {
  PubSub.setup({ reconnectPeriod: 1 })
  const resource = await thng({ apiUrl: line.address })
  const messages = resource.messages()
  const next = messages.next()
  await (await resource.subscribe(() => {})).close()
  const lost = event('disconnected')
  const told = event('error')
  line.cut()
  await lost
  await rest('DELETE', resource.path)
  line.mend()
  const error = await rejection(next, 'SUBSCRIBE_REFUSED')
  assert.equal(error.topic, resource.path)
  assert.equal((await told).error.code, 'SUBSCRIBE_REFUSED')
  assert.deepEqual(await messages.next(), { value: undefined, done: true })
})

test('a socket that is lost for good ends no other subscription of its topic', async () => {
  const upgrades = new WebSocketServer({ noServer: true })
  const accepted = []
  const server = createServer().on('upgrade', (request, socket, head) => {
    if (accepted.length === 2) return socket.end('HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n')
    upgrades.handleUpgrade(request, socket, head, (it) => {
      accepted.push(it)
      server.emit('accepted')
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const apiUrl = `http://127.0.0.1:${server.address().port}`
  const property = operator({ apiUrl, reconnectPeriod: 1 }).thng('U1').property('k')
  const next = async () => {
    const message = property.messages({ pubStates: true }).next()
    await once(server, 'accepted')
    return { message }
  }
  const [ended, other] = [await next(), await next()]
  accepted[0].terminate()
  await rejection(ended.message, 'SUBSCRIBE_REFUSED')
  accepted[1].send('[{"key":"k","value":1}]')
  assert.equal((await other.message).value[0].value, 1)
  await PubSub.close()
  server.close()
})

test('a publish that the server refuses is an error of its topic, and the socket stays', async () => {
  const resource = await thng()
  const property = resource.property('k')
  const subscription = await property.subscribe(() => {})
  const told = event('error', ({ error }) => error.code === 'PUBLISH_REFUSED')
  await property.publish([{ value: 1, timestamp: 'never' }])
  const { error } = await told
  assert.equal(error.topic, property.path)
  assert.match(error.message, /timestamp/, 'it says what the server said')
  const back = new Promise((resolve) => property.subscribe(resolve))
  await property.publish(2)
  assert.equal((await back)[0].value, 2)
  await subscription.close()
})

test('a callback that throws is an error event, and harms no other', async () => {
  const property = (await thng()).property('k')
  await property.subscribe(() => {
    throw new Error('of the program')
  })
  const heard = new Promise((resolve) => property.subscribe(resolve))
  const told = event('error')
  await property.publish(1)
  assert.equal((await told).error.code, 'CALLBACK')
  assert.equal((await heard)[0].value, 1)
})

test('nothing is acknowledged, so QoS 1 is refused rather than promised', async () => {
  const error = await rejection((await thng()).property('k').publish(1, { qos: 1 }), 'NO_ACKNOWLEDGEMENT')
  assert.match(error.message, /transport/)
})

test('the key travels in a header and not in the address', async () => {
  const seen = []
  const server = createServer().on('upgrade', (request, socket) => {
    seen.push({ url: request.url, key: request.headers.authorization })
    socket.end('HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = `http://127.0.0.1:${server.address().port}`
  await rejection(operator({ apiUrl: address }).thng('U1').subscribe(() => {}), 'SUBSCRIBE_REFUSED')
  assert.deepEqual(seen, [{ url: '/thngs/U1', key }])
  server.close()
})

test('a server that never answers a handshake is given up in time', async () => {
  const server = createServer().on('upgrade', () => {})
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = `http://127.0.0.1:${server.address().port}`
  await rejection(operator({ apiUrl: address, connectTimeout: 50, retryFirstConnection: false }).thng('U1').subscribe(() => {}), 'TIMEOUT')
  server.closeAllConnections()
  server.close()
})

test('the addresses of the REST API and of the broker are both understood', async () => {
  const { id } = await createThng()
  for (const apiUrl of [url, `${url}/`, `${url}/v2`, `${url.replace('http', 'ws')}/mqtt`, url.replace('http', 'ws')]) {
    const subscription = await operator({ apiUrl }).thng(id).subscribe(() => {})
    await subscription.close()
  }
  await rejection(operator({ apiUrl: 'mqtt://localhost', restUrl: url }).thng(id).subscribe(() => {}), 'BAD_URL')
})

test('a program that has closed everything ends by itself', async () => {
  const { id } = await createThng()
  const source = `
    const PubSub = require('thng-pubsub')
    const thng = new PubSub.Operator(${JSON.stringify(key)}, { apiUrl: ${JSON.stringify(url)}, transport: 'websocket' }).thng('${id}')
    thng.property('k').subscribe(() => PubSub.close()).then(() => thng.property('k').publish(1))`
  const { code, stderr } = await user.run(process.execPath, ['-e', source])
  assert.equal(code, 0, stderr)
})
