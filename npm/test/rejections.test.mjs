/**
 * Publishes that the real server refuses, for every row of its reason table that a publish can meet.
 *
 * The promise rejects with the server's own sentence, and nothing else is affected.
 */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { after, test } from 'node:test'
import { promisify } from 'node:util'

import { REJECTIONS, Broker } from './broker.mjs'
import { eventually } from './eventually.mjs'
import { ownServer } from './own-server.mjs'
import { project } from './project.mjs'

const run = promisify(execFile)
const UNKNOWN = 'UAbcdefghkmnpqrstwxyABCD'

const user = await project('rejections')
const PubSub = user.require('thng-pubsub')
const { Operator, Device } = PubSub

const server = await ownServer()
const limited = await ownServer('--publish-rate-per-key', '3/d')
const closing = await ownServer('--on-rejected-publish', 'close')

after(() => PubSub.close())

/** Each event of the SDK since the last look. */
const events = []
for (const type of ['connecting', 'connected', 'disconnected', 'error']) PubSub.on(type, (event) => events.push(event))
const taken = () => events.splice(0)

const rejection = (promise) => promise.then(() => assert.fail('the call was to be rejected'), (error) => error)

/** What the server answers to the same write by REST. */
async function byRest({ url }, key, method, path, body) {
  const headers = { 'content-type': 'application/json', ...(key && { authorization: key }) }
  const response = await fetch(url + path, { method, headers, body: JSON.stringify(body) })
  return response.json()
}

async function device(of) {
  const thng = await of.rest('POST', '/thngs', { name: 'a device' })
  const { thngApiKey } = await of.rest('POST', '/auth/evrythng/thngs', { thngId: thng.id })
  return { id: thng.id, key: thngApiKey }
}

/** A publish for each reason that is final: who publishes, on what, and how REST writes the same. */
async function refused(of) {
  const operator = new Operator(of.key, { apiUrl: of.url })
  const own = await device(of)
  const asDevice = new Device(own.key, { apiUrl: of.url })
  const other = (await of.rest('POST', '/thngs', { name: 'another' })).id
  const put = (scope, resource, value, body = [{ value }]) => ({
    publish: () => resource.publish(value, { qos: 1 }),
    atQos0: () => resource.publish(value),
    path: resource.path,
    rest: [scope, 'PUT', resource.path, body]
  })
  const decommission = { thng: own.id }
  const actions = operator.action('decommissions')
  return [
    { status: 404, reason: 'not_found', ...put(of.key, operator.thng(UNKNOWN).property('a'), 1) },
    { status: 403, reason: 'forbidden', ...put(own.key, asDevice.thng(other).property('a'), 1) },
    { status: 400, reason: 'invalid', ...put(of.key, operator.thng(own.id), { name: 5 }, { name: 5 }) },
    { status: 405, reason: 'subscribe_only', ...put(of.key, operator.batch(UNKNOWN).task(), {}, {}), rest: undefined },
    { status: 404, reason: 'invalid_topic', ...put(of.key, operator.thng(), {}, {}), rest: undefined },
    {
      status: 409,
      reason: 'conflict',
      publish: () => actions.publish(decommission, { qos: 1 }),
      atQos0: () => actions.publish(decommission),
      path: actions.path,
      rest: [of.key, 'POST', actions.path, { type: 'decommissions', ...decommission }]
    }
  ]
}

/** Subscribes to a property, and returns what shows that the subscription and the connection still work. */
async function witness(of) {
  const { id } = await of.rest('POST', '/thngs', { name: 'a witness' })
  const property = new Operator(of.key, { apiUrl: of.url }).thng(id).property('k')
  const values = []
  let count = 0
  await property.subscribe(([{ value }]) => values.push(value), { qos: 1 })
  return async () => {
    await of.rest('PUT', property.path, [{ value: ++count }])
    await eventually('the value', () => values.at(-1) === count)
  }
}

for (const [name, of] of Object.entries({ 'by default': server, 'with --on-rejected-publish close': closing })) {
  test(`each final refusal rejects with the server's sentence, ${name}`, { timeout: 60_000 }, async () => {
    const isWell = await witness(of)
    for (const { publish, status, reason, path, rest } of await refused(of)) {
      const error = await rejection(publish())
      assert.deepEqual([error.code, error.status, error.topic], ['PUBLISH_REFUSED', status, path], `${reason}: ${error}`)
      assert.ok(error.errors.length > 0 && error.message.endsWith(error.errors.join(' ')), `${reason}: ${error}`)
      if (rest) assert.deepEqual(error.errors, (await byRest(of, ...rest)).errors, reason)
      await isWell()
    }
    const unwanted = taken().filter(({ type }) => type === 'disconnected' || type === 'error')
    assert.deepEqual(unwanted, [], 'no connection is touched')
  })
}

test('the order with neighboring publishes is kept', async () => {
  const { id } = await server.rest('POST', '/thngs', { name: 'in order' })
  const operator = new Operator(server.key, { apiUrl: server.url })
  const property = operator.thng(id).property('k')
  const values = []
  await property.subscribe(([{ value }]) => values.push(value), { qos: 1 })
  const settled = []
  const calls = Array.from({ length: 90 }, (_, n) => {
    const call = n % 3 ? property.publish(n, { qos: 1 }) : operator.thng(UNKNOWN).property('k').publish(n, { qos: 1 })
    return call.then(
      () => settled.push(n),
      () => settled.push(n)
    )
  })
  await Promise.all(calls)
  assert.deepEqual(settled, [...Array(90).keys()])
  await eventually('the last value', () => values.at(-1) === 89)
  assert.deepEqual(values, [...Array(90).keys()].filter((n) => n % 3))
})

test('at QoS 0 a refused publish is an error event with the sentence', async () => {
  const [{ atQos0, path }] = await refused(server)
  taken()
  await atQos0()
  await eventually('an error event', () => events.some(({ type }) => type === 'error'))
  const [{ error }] = taken().filter(({ type }) => type === 'error')
  assert.deepEqual([error.code, error.status, error.topic], ['PUBLISH_REFUSED', 404, path])
  assert.deepEqual(error.errors, ['The requested resource was not found.'])
})

test('a key that is not known is refused before anything is published', async () => {
  // The SDK puts no key into a topic: no other publish is without a key, or with one that is not known.
  const { id } = await server.rest('POST', '/thngs', { name: 'by a stranger' })
  const property = new Operator('Z'.repeat(80), { apiUrl: server.url }).thng(id).property('k')
  assert.equal((await rejection(property.publish(1, { qos: 1 }))).code, 'UNAUTHORIZED')
})

test('what comes too often rejects with 429, and the connection stays', async () => {
  const { id } = await limited.rest('POST', '/thngs', { name: 'too often' })
  const property = new Operator(limited.key, { apiUrl: limited.url }).thng(id).property('k')
  const values = []
  await property.subscribe(([{ value }]) => values.push(value))
  taken()
  const outcomes = await Promise.allSettled([1, 2, 3, 4, 5].map((value) => property.publish(value, { qos: 1 })))
  assert.deepEqual(outcomes.map(({ reason }) => reason?.status), [undefined, undefined, undefined, 429, 429])
  assert.match(outcomes[3].reason.message, /--publish-rate-per-key is 3\/d/)
  await eventually('three values', () => values.length >= 3)
  assert.deepEqual(values, [1, 2, 3])
  assert.deepEqual(taken(), [], 'no connection is touched')
})

test('what cannot be stored now rejects with 503, and can be stored later', async () => {
  const { id } = await server.rest('POST', '/thngs', { name: 'a bad disk' })
  const property = new Operator(server.key, { apiUrl: server.url }).thng(id).property('k')
  await property.publish(1, { qos: 1 })
  taken()
  const fileSize = (limit) => run('prlimit', ['--pid', String(server.pid), `--fsize=${limit}:`])
  await fileSize(0)
  const error = await rejection(property.publish(2, { qos: 1 }))
  assert.deepEqual([error.code, error.status], ['PUBLISH_REFUSED', 503])
  assert.match(error.message, /cannot store or read right now/)
  await fileSize('unlimited')
  await eventually('a server that stores', async () => (await fetch(`${server.url}/ready`)).ok)
  await property.publish(3, { qos: 1 })
  const values = (await server.rest('GET', property.path)).map(({ value }) => value)
  assert.deepEqual(values, [3, 1])
  assert.deepEqual(taken(), [], 'no connection is touched')
})

for (const [name, isSilent] of Object.entries({ refuses: false, 'says nothing': true })) {
  test(`a server that ${name} to the question is used as before`, async () => {
    const broker = await Broker.start({ rejections: () => isSilent })
    after(() => broker.stop())
    const operator = new Operator('k'.repeat(80), { apiUrl: broker.apiUrl, answerTimeout: 200 })
    const property = operator.thng(UNKNOWN).property('k')
    const values = []
    await property.subscribe(([{ value }]) => values.push(value))
    await property.publish(1, { qos: 1 })
    await new Promise((resolve) => setTimeout(resolve, 500))
    await property.publish(2, { qos: 1 })
    assert.deepEqual([values, broker.clients.length], [[1, 2], 1], 'nothing waits for that answer')
  })
}

test('an answer before the connection is closed rejects too', async () => {
  const broker = await Broker.start({
    publish(client, { messageId, payload }) {
      if (!String(payload).includes('bad')) return client.send({ cmd: 'puback', messageId })
      const document = { packetId: messageId, status: 503, errors: ['Not now.'] }
      client.send({ cmd: 'publish', topic: REJECTIONS, payload: JSON.stringify(document), qos: 0 })
      client.drop()
    }
  })
  after(() => broker.stop())
  const operator = new Operator('k'.repeat(80), { apiUrl: broker.apiUrl, reconnectPeriod: 10 })
  const property = operator.thng(UNKNOWN).property('k')
  const error = await rejection(property.publish('bad', { qos: 1 }))
  assert.deepEqual([error.code, error.status, error.errors], ['PUBLISH_REFUSED', 503, ['Not now.']])
  await property.publish('good', { qos: 1 })
  assert.equal(broker.packets('publish').filter(({ payload }) => String(payload).includes('bad')).length, 1)
})
