/**
 * The controls of a subscription: its handle, a signal, and an asynchronous iterator.
 *
 * They run against our own server, and against a small broker where the sent bytes or a misbehaving peer matter.
 */
import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, test } from 'node:test'
import { inspect } from 'node:util'

import { Broker } from './broker.mjs'
import { project } from './project.mjs'
import { createThng, key, rest, url } from './server.mjs'

const user = await project('messages')
const PubSub = user.require('thng-pubsub')
const evrythng = user.require('evrythng')
const KEY = 'A'.repeat(80)
const NOBODY = 'UAbcdefghkmnpqrstwxyABCD'
const TOPIC = '/thngs/U1/properties/k'

evrythng.setup({ apiUrl: url, apiVersion: 1, geolocation: false })
evrythng.use(PubSub)

let broker

afterEach(async () => {
  await PubSub.close()
  await broker?.stop()
  broker = undefined
})

/** The property `k` at a small broker, in a scope of its own. */
async function atBroker(answers) {
  broker = await Broker.start(answers)
  const options = { apiUrl: broker.url, reconnectPeriod: 20, reconnectPeriodMax: 100 }
  return new PubSub.Operator(KEY, options).thng('U1').property('k')
}

/** A property of a thng at our server, of a new one as a rule: with the standalone API, and with the plugin. */
async function standalone(id) {
  return new PubSub.Operator(key, { apiUrl: url }).thng(id ?? (await createThng()).id).property('k')
}

async function plugin(id) {
  const operator = new evrythng.Operator(key)
  await operator.init()
  return operator.thng(id ?? (await createThng()).id).property('k')
}

async function rejection(promise, code) {
  const error = await promise.then(
    (value) => assert.fail(`it should be rejected, and resolved with ${inspect(value)}`),
    (reason) => reason
  )
  assert.ok(error instanceof PubSub.PubSubError, inspect(error))
  assert.equal(error.code, code, error.message)
  return error
}

const listenersOf = (signal) => getEventListeners(signal, 'abort').length
const isOver = (client) => client.filters.size === 0
const valueOf = ({ value: [{ value }] }) => value

for (const make of [standalone, plugin]) {
  const { name } = make

  test(`${name}: the handle of a subscription ends it and no other`, async () => {
    const resource = await make()
    const heard = []
    const onMessage = ([{ value }]) => heard.push(value)
    const [first, second] = [await resource.subscribe(onMessage), await resource.subscribe(onMessage)]
    assert.equal(first.topic, resource.path)
    assert.equal(first.close(), first.close(), 'closing twice is closing once')
    assert.equal(await first.close(), undefined)
    const messages = resource.messages()
    const next = messages.next()
    await resource.publish(1, { qos: 1 })
    await next
    assert.deepEqual(heard, [1])
    await second.close()
    await messages.return()
  })

  test(`${name}: for await takes the messages in order, and leaving it unsubscribes`, async () => {
    const resource = await make()
    const values = []
    let value = 0
    const messages = resource.messages({ qos: 1 })
    const first = messages.next()
    const started = resource.subscribe(() => {}).then(() => resource.publish(value++, { qos: 1 }))
    values.push(valueOf(await first))
    await started
    for await (const [update] of resource.messages({ pubStates: true })) {
      values.push(update.value)
      if (values.length === 4) break
      await resource.publish(value++, { qos: 1 })
    }
    assert.deepEqual(values, [0, 0, 1, 2])
    assert.deepEqual(await messages.return('done'), { value: 'done', done: true })
    assert.deepEqual(await messages.next(), { value: undefined, done: true })
  })

  test(`${name}: a refused subscription is what the iterator throws, once`, async () => {
    const messages = (await make(NOBODY)).messages()
    const error = await rejection(messages.next(), 'SUBSCRIBE_REFUSED')
    assert.equal(error.topic, `/thngs/${NOBODY}/properties/k`)
    assert.deepEqual(await messages.next(), { value: undefined, done: true })
  })

  test(`${name}: a signal ends a subscription, a publish and an iterator`, async () => {
    const resource = await make()
    const reason = new Error('enough')
    const signal = AbortSignal.abort(reason)
    const error = await rejection(resource.subscribe(() => assert.fail('called back'), { signal }), 'ABORTED')
    assert.deepEqual([error.name, error.cause, error.topic], ['AbortError', reason, resource.path])
    await rejection(resource.publish(1, { signal }), 'ABORTED')
    await rejection(resource.messages({ signal }).next(), 'ABORTED')

    const controller = new AbortController()
    const heard = []
    await resource.subscribe(([{ value }]) => heard.push(value), { signal: controller.signal })
    const messages = resource.messages({ signal: controller.signal })
    const kept = resource.messages()
    const [first, second] = [messages.next(), kept.next()]
    await resource.publish(1, { qos: 1, signal: controller.signal })
    await Promise.all([first, second])
    const waiting = messages.next()
    assert.equal(listenersOf(controller.signal), 1, 'one for all')
    controller.abort(reason)
    assert.equal(listenersOf(controller.signal), 0)
    assert.equal((await rejection(waiting, 'ABORTED')).cause, reason)
    await resource.publish(2, { qos: 1 })
    assert.equal(valueOf(await kept.next()), 2)
    assert.deepEqual(heard, [1])
    await kept.return()
  })
}

test('with the plugin the messages of an iterator are entities', async () => {
  const property = await plugin()
  await property.update(7)
  for await (const [update] of property.messages({ pubStates: true })) {
    assert.equal(update.value, 7)
    assert.equal(typeof update.update, 'function')
    break
  }
})

test('the handle has the topic with its options, and disposes of itself', async () => {
  const resource = await atBroker()
  const subscription = await resource.subscribe(() => {}, { pubStates: true, project: 'U2' })
  assert.equal(subscription.topic, `${TOPIC}?pubStates=1&markStates=1&project=U2`)
  assert.deepEqual(Object.keys(subscription), ['topic'])
  if (Symbol.asyncDispose) await subscription[Symbol.asyncDispose]()
  else await subscription.close()
  assert.deepEqual(broker.packets('unsubscribe')[0].unsubscriptions, [subscription.topic])
})

test('a handle whose subscription has ended otherwise can be closed', async () => {
  const resource = await atBroker()
  const first = await resource.subscribe(() => {})
  await resource.unsubscribe()
  await first.close()
  assert.equal(broker.packets('unsubscribe').length, 1)
  const second = await resource.subscribe(() => {})
  await PubSub.close()
  await second.close()
})

test('a handle that is closed in the callback, or while the connection is gone, is closed', async () => {
  const resource = await atBroker()
  const heard = []
  const subscription = await resource.subscribe((message) => {
    heard.push(message)
    subscription.close()
  })
  await resource.publish(1, { qos: 1 })
  await resource.publish(2, { qos: 1 })
  assert.equal(heard.length, 1)
  const again = await resource.subscribe((message) => heard.push(message))
  broker.client.drop()
  await broker.until('end of the connection', () => broker.client.isClosed)
  await again.close()
  await resource.publish(3, { qos: 1 })
  assert.equal(broker.clients.length, 2)
  assert.equal(broker.client.packets.filter(({ cmd }) => cmd === 'subscribe').length, 0)
})

test('a signal that has aborted, or does so at once, opens no connection', async () => {
  const resource = await atBroker()
  let opened = 0
  const note = () => opened++
  PubSub.on('connecting', note)
  const signal = AbortSignal.abort()
  await rejection(resource.subscribe(() => {}, { signal }), 'ABORTED')
  await rejection(resource.publish(1, { signal }), 'ABORTED')
  await rejection(resource.messages({ signal }).next(), 'ABORTED')
  const controller = new AbortController()
  const calls = [
    resource.subscribe(() => {}, { signal: controller.signal }),
    resource.publish(1, { signal: controller.signal }),
    resource.messages({ signal: controller.signal }).next()
  ]
  controller.abort()
  for (const call of calls) await rejection(call, 'ABORTED')
  await PubSub.close()
  PubSub.off('connecting', note)
  assert.equal(opened, 0)
})

test('a subscription that is aborted before the server answers is taken back', async () => {
  const held = []
  const resource = await atBroker({ subscribe: (client, packet) => held.push(packet) })
  const controller = new AbortController()
  const subscribed = resource.subscribe(() => assert.fail('called back'), { signal: controller.signal })
  await broker.until('SUBSCRIBE', () => held.length === 1)
  controller.abort()
  await rejection(subscribed, 'ABORTED')
  broker.client.send({ cmd: 'suback', messageId: held[0].messageId, granted: [0] })
  broker.client.send({ cmd: 'publish', topic: TOPIC, payload: '[]', qos: 0 })
  await broker.until('UNSUBSCRIBE', () => broker.packets('unsubscribe').length === 1)
  await resource.publish(1, { qos: 1 })
})

test('a signal may abort at every moment of a subscription, and nothing of it stays', async () => {
  const resource = await atBroker()
  await resource.publish(0)
  let [early, late] = [0, 0]
  for (let turns = 0; turns < 40; turns++) {
    const controller = new AbortController()
    let isAborted = false
    const onMessage = () => assert.ok(!isAborted, 'called back after it was aborted')
    const subscribed = resource.subscribe(onMessage, { signal: controller.signal })
    const outcome = subscribed.then(
      () => late++,
      (error) => assert.equal(error.code, 'ABORTED', early++)
    )
    // Microtasks first, then whole turns in which packets come and go.
    for (let turn = 0; turn < turns; turn++) await (turns < 20 ? null : new Promise(setImmediate))
    controller.abort()
    isAborted = true
    await outcome
    await resource.publish(turns, { qos: 1 })
    assert.equal(listenersOf(controller.signal), 0)
  }
  assert.equal(early + late, 40)
  assert.ok(early > 0)
  await broker.until('end of the last subscription', () => isOver(broker.client))
})

test('whatever ends a subscription leaves nothing on its signal', async () => {
  let granted = [0]
  const resource = await atBroker({
    subscribe: (client, { messageId }) => client.send({ cmd: 'suback', messageId, granted })
  })
  const { signal } = new AbortController()
  const subscribe = () => resource.subscribe(() => {}, { signal })
  const ends = {
    'its handle': async () => (await subscribe()).close(),
    'unsubscribe()': async () => {
      await subscribe()
      await resource.unsubscribe()
    },
    'a refusal': async () => {
      granted = [128]
      await rejection(subscribe(), 'SUBSCRIBE_REFUSED')
      granted = [0]
    },
    'PubSub.close()': async () => {
      await subscribe()
      await PubSub.close()
    },
    'a wrong transport': () => rejection(resource.subscribe(() => {}, { signal, transport: 'smoke' }), 'BAD_SETTING'),
    'leaving its iterator': async () => {
      const messages = resource.messages({ signal })
      const next = messages.next()
      await messages.return()
      assert.deepEqual(await next, { value: undefined, done: true })
    },
    'a publish': () => resource.publish(1, { signal, qos: 1 })
  }
  for (const [name, end] of Object.entries(ends)) {
    await end()
    assert.equal(listenersOf(signal), 0, name)
  }
})

test('a publish that is aborted while it waits rejects', async () => {
  const resource = await atBroker({ publish() {} })
  const controller = new AbortController()
  const published = resource.publish(1, { qos: 1, signal: controller.signal })
  await broker.until('PUBLISH', () => broker.packets('publish').length === 1)
  controller.abort()
  await rejection(published, 'ABORTED')
})

test('a publish that is aborted before it is sent is never sent', async () => {
  const held = []
  const resource = await atBroker({ connect: (client) => held.push(client) })
  const controller = new AbortController()
  const published = resource.publish(1, { qos: 1, signal: controller.signal })
  await broker.until('CONNECT', () => held.length === 1)
  controller.abort()
  await rejection(published, 'ABORTED')
  const later = resource.publish(2, { qos: 1 })
  held[0].send({ cmd: 'connack', returnCode: 0, sessionPresent: false })
  await later
  const sent = broker.packets('publish').map(({ payload }) => JSON.parse(payload)[0].value)
  assert.deepEqual(sent, [2])
  assert.equal(listenersOf(controller.signal), 0)
})

test('an iterator subscribes when it is first asked, and not if it is left before', async () => {
  const resource = await atBroker()
  const never = resource.messages()
  const messages = resource.messages()
  await resource.publish(1, { qos: 1 })
  assert.equal(broker.packets('subscribe').length, 0)
  await never.return()
  assert.deepEqual(await never.next(), { value: undefined, done: true })
  const next = messages.next()
  await broker.until('SUBSCRIBE', () => broker.packets('subscribe').length === 1)
  broker.deliver(TOPIC, '[{"value":5}]')
  assert.equal(valueOf(await next), 5)
  await messages.return()
  assert.ok(isOver(broker.client))
})

test('what comes while nobody asks waits, and several may ask at once', async () => {
  const resource = await atBroker()
  const messages = resource.messages()
  const asked = [messages.next(), messages.next()]
  for (const value of [1, 2, 3, 4]) await resource.publish(value, { qos: 1 })
  assert.deepEqual((await Promise.all(asked)).map(valueOf), [1, 2])
  assert.deepEqual([valueOf(await messages.next()), valueOf(await messages.next())], [3, 4])
  const waiting = [messages.next(), messages.next()]
  if (Symbol.asyncDispose) await messages[Symbol.asyncDispose]()
  else await messages.return()
  for (const next of waiting) assert.deepEqual(await next, { value: undefined, done: true })
})

test('a consumer that is too slow gets what fitted, and then an error instead of a gap', async () => {
  const resource = await atBroker()
  const messages = resource.messages({ limit: 3 })
  const first = messages.next()
  for (const value of [0, 1, 2, 3, 4]) await resource.publish(value, { qos: 1 })
  assert.equal(valueOf(await first), 0)
  await broker.until('end of the subscription', () => isOver(broker.client))
  const values = []
  const taken = (async () => {
    for await (const [{ value }] of messages) values.push(value)
  })()
  const error = await rejection(taken, 'TOO_SLOW')
  assert.deepEqual([values, error.topic], [[1, 2, 3], TOPIC])
  assert.match(error.message, /limit 3/)
  assert.deepEqual(await messages.next(), { value: undefined, done: true })
})

test('a limit that is none is refused at once', async () => {
  const resource = await atBroker()
  for (const limit of [0, -1, 1.5, '5', null]) assert.throws(() => resource.messages({ limit }), { code: 'BAD_SETTING' })
})

test('an iterator outlives a lost connection', async () => {
  const resource = await atBroker()
  const messages = resource.messages()
  const first = messages.next()
  await resource.publish(1, { qos: 1 })
  assert.equal(valueOf(await first), 1)
  broker.client.drop()
  await broker.until('new subscription', () => broker.clients.length === 2 && !isOver(broker.client))
  broker.deliver(TOPIC, '[{"value":2}]')
  assert.equal(valueOf(await messages.next()), 2)
})

test('an iterator ends with its connection: what came before first, then why', async () => {
  let returnCode = 0
  const resource = await atBroker({ connect: (client) => client.send({ cmd: 'connack', returnCode, sessionPresent: false }) })
  const quiet = () => {}
  PubSub.on('error', quiet)
  const messages = resource.messages()
  const first = messages.next()
  await resource.publish(1, { qos: 1 })
  await first
  await resource.publish(2, { qos: 1 })
  returnCode = 5
  broker.client.drop()
  await broker.until('refusal', () => broker.clients.length === 2 && broker.client.isClosed)
  assert.equal(valueOf(await messages.next()), 2)
  await rejection(messages.next(), 'UNAUTHORIZED')
  PubSub.off('error', quiet)
})

test('an iterator whose subscription is refused when it is made again ends with that', async () => {
  let granted = [0]
  const resource = await atBroker({
    subscribe: (client, { messageId }) => client.send({ cmd: 'suback', messageId, granted })
  })
  const quiet = () => {}
  PubSub.on('error', quiet)
  const messages = resource.messages()
  const next = messages.next()
  await resource.publish(1, { qos: 1 })
  granted = [128]
  broker.client.drop()
  assert.equal((await rejection(next, 'SUBSCRIBE_REFUSED')).topic, TOPIC)
  PubSub.off('error', quiet)
})

test('over a native WebSocket an iterator outlives a refused publish, and ends with its topic', async () => {
  const operator = new PubSub.Operator(key, { apiUrl: url })
  const { id } = await createThng()
  const { thngApiKey } = await rest('POST', '/auth/evrythng/thngs', { thngId: id })
  const thng = new PubSub.Device(thngApiKey, { apiUrl: url, transport: 'websocket', reconnectPeriod: 20 }).thng(id)
  const errors = []
  let heard
  const refused = new Promise((resolve) => (heard = resolve))
  const note = ({ error, topic }) => {
    errors.push([error.code, topic])
    heard()
  }
  PubSub.on('error', note)
  const { signal } = new AbortController()
  await thng.subscribe(() => {}, { signal })
  const messages = thng.messages()
  const next = messages.next()
  await thng.publish({ name: 5 })
  await refused
  await operator.thng(id).update({ description: 'changed' })
  assert.equal((await next).value.description, 'changed')
  assert.equal(listenersOf(signal), 1)
  const waiting = messages.next()
  await rest('DELETE', `/auth/evrythng/thngs/${id}`)
  await rejection(waiting, 'SUBSCRIBE_REFUSED')
  assert.equal(listenersOf(signal), 0)
  assert.deepEqual(errors, [['PUBLISH_REFUSED', thng.path], ['SUBSCRIBE_REFUSED', thng.path]])
  PubSub.off('error', note)
})

test('PubSub.close() ends an iterator with CLOSED, and a later one connects anew', async () => {
  const resource = await atBroker()
  const messages = resource.messages()
  const next = messages.next()
  await resource.publish(1, { qos: 1 })
  await next
  const waiting = messages.next()
  await PubSub.close()
  await rejection(waiting, 'CLOSED')
  const later = resource.messages().next()
  await resource.publish(2, { qos: 1 })
  assert.equal(valueOf(await later), 2)
})

test('unsubscribe() ends the iterators of the resource without an error', async () => {
  const resource = await atBroker()
  const messages = resource.messages()
  const next = messages.next()
  await resource.publish(1, { qos: 1 })
  await next
  await resource.publish(2, { qos: 1 })
  await resource.unsubscribe()
  assert.deepEqual(await messages.next(), { value: undefined, done: true })
})

test('a listener that throws harms nobody', async (t) => {
  const resource = await atBroker()
  const complaints = t.mock.method(console, 'error', () => {})
  const boom = () => {
    throw new Error('boom')
  }
  PubSub.on('connected', boom)
  try {
    const messages = resource.messages()
    const next = messages.next()
    await resource.publish(1, { qos: 1 })
    assert.equal(valueOf(await next), 1)
    assert.equal(complaints.mock.calls.length, 1)
  } finally {
    PubSub.off('connected', boom)
  }
})

test('iterators that nobody looks after leave nothing unhandled, and let the program end', async () => {
  broker = await Broker.start()
  const source = `
    const PubSub = require('thng-pubsub')
    const property = (id, options) => new PubSub.Operator('${KEY}', { apiUrl: process.env.BROKER, ...options }).thng(id).property('k')
    async function main() {
      const slow = property('slow')
      const abandoned = slow.messages({ limit: 1 })
      abandoned.next()
      for (const value of [1, 2, 3]) await slow.publish(value, { qos: 1 })
      const controller = new AbortController()
      const aborted = property('aborted').messages({ signal: controller.signal })
      aborted.next().catch(({ code }) => console.log(code))
      property('left').messages().return()
      await property('gone', { apiUrl: 'ws://127.0.0.1:9/mqtt', retryFirstConnection: false }).messages().next().catch(({ code }) => console.log(code))
      await slow.publish(4, { qos: 1 })
      controller.abort()
      await PubSub.close()
    }
    main()
  `
  await writeFile(join(user.folder, 'abandoned.cjs'), source)
  const { code, stdout, stderr } = await user.run(process.execPath, ['--unhandled-rejections=strict', 'abandoned.cjs'], { BROKER: broker.url })
  assert.deepEqual([code, stderr], [0, ''])
  assert.deepEqual(stdout.trim().split('\n').sort(), ['ABORTED', 'HANDSHAKE'])
})
