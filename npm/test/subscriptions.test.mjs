/**
 * What a handle and `onError` say of a subscription: that it has ended, and why.
 */
import assert from 'node:assert/strict'
import { afterEach, test } from 'node:test'

import { Broker } from './broker.mjs'
import { project } from './project.mjs'

const user = await project('subscriptions')
const PubSub = user.require('thng-pubsub')
const DEFAULTS = { ...PubSub.settings }
const KEY = 'A'.repeat(80)

let broker

async function start(answers) {
  broker = await Broker.start(answers)
  PubSub.setup({ apiUrl: broker.url, reconnectPeriod: 20, reconnectPeriodMax: 100 })
  return new PubSub.Operator(KEY).thng('U1').property('k')
}

afterEach(async () => {
  await PubSub.close()
  PubSub.setup(DEFAULTS)
  await broker?.stop()
})

/** A function that records its calls, and a promise of the first. */
function recorder() {
  const calls = []
  let resolve
  const first = new Promise((resolveIt) => (resolve = resolveIt))
  const record = (call) => {
    calls.push(call)
    resolve(call)
  }
  return { calls, first, record }
}

const connack = (client, returnCode) => client.send({ cmd: 'connack', returnCode, sessionPresent: false })
const errorsOf = (t) => {
  const errors = []
  t.mock.method(console, 'error', (...args) => errors.push(args.join(' ')))
  return errors
}

test('closed resolves without an error when the program has ended it', async () => {
  const property = await start()
  const onMessage = () => {}
  const controller = new AbortController()
  const { calls, record: onError } = recorder()
  const [byHandle, byUnsubscribe, bySignal, byClose] = [
    await property.subscribe(() => {}, { onError }),
    await property.subscribe(onMessage, { onError }),
    await property.subscribe(() => {}, { onError, signal: controller.signal }),
    await property.subscribe(() => {}, { onError })
  ]
  await byHandle.close()
  assert.equal(await byHandle.closed, undefined)
  await property.unsubscribe(onMessage)
  assert.equal(await byUnsubscribe.closed, undefined)
  controller.abort()
  assert.equal(await bySignal.closed, undefined)
  await PubSub.close()
  assert.equal(await byClose.closed, undefined)
  assert.deepEqual(calls, [])
})

test('a key that is revoked closes each subscription with the error', async (t) => {
  let returnCode = 0
  const property = await start({ connect: (client) => connack(client, returnCode) })
  const errors = errorsOf(t)
  const { calls, record: onError } = recorder()
  const plain = await property.subscribe(() => {})
  const observed = await property.subscribe(() => {}, { onError })
  returnCode = 5
  broker.client.drop()
  for (const subscription of [plain, observed]) {
    const { code, topic } = await subscription.closed
    assert.deepEqual([code, topic], ['UNAUTHORIZED', property.path])
  }
  assert.deepEqual(calls.map(({ code }) => code), ['UNAUTHORIZED'])
  await new Promise(setImmediate)
  assert.deepEqual(errors, [], 'onError got it')
})

test('a subscription that is not restored calls onError and stays', async (t) => {
  let granted = 0
  const property = await start({
    subscribe(client, { messageId, subscriptions: [{ topic }] }) {
      if (granted === 0) client.filters.add(topic)
      client.send({ cmd: 'suback', messageId, granted: [granted] })
    }
  })
  const errors = errorsOf(t)
  const values = recorder()
  const { calls, first, record: onError } = recorder()
  const subscription = await property.subscribe(([{ value }]) => values.record(value), { onError })
  granted = 128
  broker.client.drop()
  assert.equal((await first).code, 'SUBSCRIBE_REFUSED')
  granted = 0
  broker.client.drop()
  await broker.until('the next subscription', () => broker.clients.length === 3 && broker.client.filters.size)
  broker.deliver(subscription.topic, '[{"value":1}]')
  assert.equal(await values.first, 1)
  assert.deepEqual([calls.length, errors], [1, []])
})

test('a callback that throws is reported to onError, and to no other', async (t) => {
  const property = await start()
  const errors = errorsOf(t)
  const { first, record: onError } = recorder()
  const cause = new Error('of the program')
  await property.subscribe(
    () => {
      throw cause
    },
    { onError }
  )
  await property.publish(1, { qos: 1 })
  const error = await first
  assert.deepEqual([error.code, error.topic, error.cause, errors], ['CALLBACK', property.path, cause, []])
})

test('an onError that throws ends nothing', async (t) => {
  const property = await start()
  const errors = errorsOf(t)
  const thrower = (text) => () => {
    throw new Error(text)
  }
  await property.subscribe(thrower('first'), { onError: thrower('second') })
  const values = recorder()
  await property.subscribe(([{ value }]) => values.record(value))
  await property.publish(1, { qos: 1 })
  assert.equal(await values.first, 1)
  assert.match(errors.join(), /second/)
})

test('a refused subscribe rejects and does not call onError', async () => {
  const property = await start({
    subscribe: (client, { messageId }) => client.send({ cmd: 'suback', messageId, granted: [128] })
  })
  const { calls, record: onError } = recorder()
  const error = await property.subscribe(() => {}, { onError }).catch((reason) => reason)
  assert.deepEqual([error.code, calls], ['SUBSCRIBE_REFUSED', []])
})

test('without onError a lost key is logged', async (t) => {
  let returnCode = 0
  const property = await start({ connect: (client) => connack(client, returnCode) })
  const errors = errorsOf(t)
  const { closed } = await property.subscribe(() => {})
  returnCode = 5
  broker.client.drop()
  await closed
  await new Promise(setImmediate)
  assert.equal(errors.length, 1)
  assert.match(errors[0], /does not accept the API key/)
})
