/**
 * The connections of a scope: when they are made and retried, what they report, and when they close.
 */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, test } from 'node:test'
import { inspect } from 'node:util'

import { Broker } from './broker.mjs'
import { eventually } from './eventually.mjs'
import { lineTo } from './line.mjs'
import { project } from './project.mjs'
import { createThng, key, url } from './server.mjs'

const user = await project('connections')
const PubSub = user.require('thng-pubsub')
const DEFAULTS = { ...PubSub.settings }
const KEY = 'A'.repeat(80)
const line = await lineTo(url)

let broker

async function start(answers, settings) {
  broker = await Broker.start(answers)
  PubSub.setup({ apiUrl: broker.url, reconnectPeriod: 20, reconnectPeriodMax: 100, ...settings })
}

afterEach(async () => {
  await PubSub.close()
  PubSub.setup(DEFAULTS)
  line.mend()
  await broker?.stop()
  broker = undefined
})

const scope = (settings) => new PubSub.Operator(KEY, settings)
const propertyOf = (operator) => operator.thng('U00000000000000000000000').property('k')
const allClosed = () => broker.until('end of all connections', () => broker.clients.every(({ isClosed }) => isClosed))

/** The next event of a type. */
function next(of, type) {
  return new Promise((resolve) => {
    const off = of.on(type, (event) => {
      off()
      resolve(event)
    })
  })
}

/** Replaces a method of the console until the end of the test, and returns what it was called with. */
function written(t, name) {
  const calls = []
  t.mock.method(console, name, (...args) => calls.push(args.join(' ')))
  return calls
}

const rejection = (promise) => promise.then(() => assert.fail('it should be rejected'), (error) => error)

test('thirty scopes that were used and left leave no socket', async () => {
  await start({}, { idleTimeout: 50 })
  for (let n = 0; n < 30; n++) {
    const property = propertyOf(scope())
    await (await property.subscribe(() => {})).close()
    await property.publish(n, { qos: 1 })
  }
  assert.equal(broker.clients.length, 30)
  await allClosed()
  assert.equal(broker.packets('disconnect').length, 30)
})

test('a call after the end for lack of use connects again', async () => {
  await start({}, { idleTimeout: 20 })
  const operator = scope()
  const closed = next(operator, 'disconnected')
  await propertyOf(operator).publish(1, { qos: 1 })
  const { error, retryInMs } = await closed
  assert.deepEqual([error.code, retryInMs, operator.state], ['CLOSED', undefined, 'idle'])
  await propertyOf(operator).publish(2, { qos: 1 })
  assert.equal(broker.clients.length, 2)
})

test('a subscription in use keeps its connection', async () => {
  await start({}, { idleTimeout: 20 })
  const used = scope()
  await propertyOf(used).subscribe(() => {})
  await propertyOf(scope()).publish(1, { qos: 1 })
  await broker.until('end of the other connection', () => broker.clients[1].isClosed)
  assert.deepEqual([broker.clients[0].isClosed, used.state], [false, 'connected'])
})

test('close() ends the connections of its scope and no other', async () => {
  await start()
  const [one, other] = [scope(), scope()]
  for (const each of [one, other]) await propertyOf(each).subscribe(() => {})
  await propertyOf(one).publish(1, { authorization: 'B'.repeat(80), qos: 1 })
  await one.close()
  await broker.until('end of its connections', () => broker.clients.filter(({ isClosed }) => isClosed).length === 2)
  assert.deepEqual([one.state, other.state, broker.clients[1].isClosed], ['idle', 'connected', false])
  await propertyOf(one).publish(2, { qos: 1 })
  assert.equal(broker.clients.length, 4)
})

test('close() rejects the calls of its scope that wait', async () => {
  await start({ connect() {} })
  const operator = scope()
  const waiting = rejection(propertyOf(operator).publish(1))
  await operator.close()
  assert.equal((await waiting).code, 'CLOSED')
})

test('await using closes a scope', { skip: !Symbol.asyncDispose }, async () => {
  await start()
  const operator = scope()
  await propertyOf(operator).publish(1, { qos: 1 })
  await operator[Symbol.asyncDispose]()
  await allClosed()
})

test('the first connection is retried until it succeeds', async () => {
  let refused = 0
  await start({ upgrade: () => (refused++ < 3 ? 503 : undefined) })
  const operator = scope()
  const events = []
  for (const type of ['connecting', 'connected', 'disconnected']) operator.on(type, (event) => events.push(event))
  await propertyOf(operator).publish(1, { qos: 1 })
  const pair = ['connecting', 'disconnected']
  assert.deepEqual(events.map(({ type }) => type), [...pair, ...pair, ...pair, 'connecting', 'connected'])
  assert.equal(events[1].error.code, 'HANDSHAKE')
  assert.ok(events[1].retryInMs >= 0)
})

test('a setting makes the first connection fail instead', async () => {
  await start({ upgrade: () => 503 })
  const operator = scope({ retryFirstConnection: false })
  assert.equal((await rejection(propertyOf(operator).publish(1))).code, 'HANDSHAKE')
  assert.equal(operator.state, 'idle')
})

test('a first connection that fails is logged once without a listener', async (t) => {
  let refused = 0
  await start({ upgrade: () => (refused++ < 3 ? 503 : undefined) })
  const warnings = written(t, 'warn')
  await propertyOf(scope()).publish(1, { qos: 1 })
  assert.equal(warnings.length, 1)
  assert.match(warnings[0], /No connection to/)
})

test('the state of a scope follows its connection', async () => {
  let code = 0
  await start({ connect: (client) => client.send({ cmd: 'connack', returnCode: code, sessionPresent: false }) })
  const operator = scope()
  assert.equal(operator.state, 'idle')
  const subscribed = propertyOf(operator).subscribe(() => {})
  assert.equal(operator.state, 'connecting')
  await subscribed
  assert.equal(operator.state, 'connected')
  code = 3
  const lost = next(operator, 'disconnected')
  broker.client.drop()
  await lost
  assert.equal(operator.state, 'disconnected')
  code = 0
  await next(operator, 'connected')
  assert.equal(operator.state, 'connected')
})

test('a scope hears its own events, each with the scope', async () => {
  await start()
  const [one, other] = [scope(), scope()]
  const heard = []
  const off = one.on('connected', (event) => heard.push(event))
  const offAll = PubSub.on('connected', (event) => heard.push(event))
  await propertyOf(other).publish(1, { qos: 1 })
  assert.deepEqual(heard.map((event) => event.scope === other), [true])
  await propertyOf(one).publish(1, { qos: 1 })
  assert.deepEqual(heard.map((event) => event.scope === one), [false, true, true])
  off()
  offAll()
  await one.close()
  await propertyOf(one).publish(2, { qos: 1 })
  assert.equal(heard.length, 3)
  assert.throws(() => one.on('connect', () => {}), /no event 'connect'/)
})

test('the scope of an event shows no key when it is printed', async () => {
  await start()
  const evrythng = user.require('evrythng')
  evrythng.use(PubSub)
  const theirs = Object.create(evrythng.AccessToken.prototype, { apiKey: { value: KEY, enumerable: true } })
  const connected = next(PubSub, 'connected')
  await theirs.thng('U00000000000000000000000').property('k').publish(1, { qos: 1 })
  const event = await connected
  assert.equal(event.scope, theirs)
  assert.ok(!inspect(event).includes(KEY) && !JSON.stringify(event).includes(KEY))
})

test('an unknown setting warns once and has no effect', (t) => {
  const warnings = written(t, 'warn')
  scope({ keepalive: 7 })
  PubSub.setup({ keepalive: 7, retryFirstConnection: true })
  assert.equal(warnings.length, 1)
  assert.match(warnings[0], /no setting 'keepalive'.*keepAlive/)
  delete PubSub.settings.keepalive
})

test('the debug log has topics and codes, and neither keys nor payloads', async (t) => {
  const lines = []
  await start({ subscribe: (client, { messageId }) => client.send({ cmd: 'suback', messageId, granted: [128] }) })
  const operator = scope({ debug: (text) => lines.push(text) })
  await propertyOf(operator).publish('a secret payload', { qos: 1 })
  await rejection(propertyOf(operator).subscribe(() => {}))
  await operator.close()
  const log = lines.join('\n')
  for (const part of ['connecting', 'publish /thngs/U', 'resolved call', 'SUBSCRIBE_REFUSED', 'disconnected CLOSED']) {
    assert.ok(log.includes(part), `${part} in ${log}`)
  }
  assert.ok(!log.includes(KEY) && !log.includes('secret'), log)

  const printed = written(t, 'debug')
  await propertyOf(scope({ debug: true })).publish(1, { qos: 1 })
  assert.ok(printed.some((text) => text.includes('connected')))
})

test('a debug function that throws disturbs nothing', async (t) => {
  await start()
  const errors = written(t, 'error')
  const debug = () => {
    throw new Error('of the program')
  }
  await propertyOf(scope({ debug })).publish(1, { qos: 1 })
  assert.match(errors[0], /of the program/)
})

test('a native WebSocket without use closes, and the next call is still the scope’s', async () => {
  const { id } = await createThng()
  const operator = new PubSub.Operator(key, { apiUrl: line.address, transport: 'websocket', idleTimeout: 20 })
  const property = operator.thng(id).property('k')
  await property.publish(1)
  await eventually('an idle scope', () => operator.state === 'idle')
  const subscription = await property.subscribe(() => {})
  const closed = subscription.close()
  const again = property.subscribe(() => {})
  await Promise.all([closed, again])
  assert.equal(operator.state, 'connected')
  await operator.close()
  assert.equal(operator.state, 'idle')
})

test('a refused native WebSocket is final, and a lost first one is not', async () => {
  const settings = { apiUrl: line.address, transport: 'websocket', reconnectPeriod: 20, reconnectPeriodMax: 100 }
  const wrong = new PubSub.Operator(KEY, settings)
  assert.equal((await rejection(propertyOf(wrong).subscribe(() => {}))).code, 'SUBSCRIBE_REFUSED')
  const { id } = await createThng()
  const operator = new PubSub.Operator(key, settings)
  line.cut()
  const lost = next(operator, 'disconnected')
  const subscribed = operator.thng(id).property('k').subscribe(() => {})
  await lost
  line.mend()
  await subscribed
})

test('unsubscribe() resolves also after the end for lack of use', async () => {
  await start({}, { idleTimeout: 20 })
  const operator = scope()
  const property = propertyOf(operator)
  const closed = next(operator, 'disconnected')
  await (await property.subscribe(() => {})).close()
  await property.unsubscribe()
  await closed
  await property.unsubscribe()
})

test('a subscription that is lost is reported also beside a call that is refused', async () => {
  let code = 0
  await start({ subscribe: (client, { messageId }) => client.send({ cmd: 'suback', messageId, granted: [code] }) })
  const operator = scope()
  const property = propertyOf(operator)
  const lost = []
  await property.subscribe(() => {}, { onError: (error) => lost.push(error) })
  const messages = property.messages()
  const first = rejection(messages.next())
  await broker.until('both subscriptions', () => broker.packets('subscribe').length === 2)
  code = 128
  const disconnected = next(operator, 'disconnected')
  broker.client.drop()
  await disconnected
  const onError = () => assert.fail('what a promise reports is no loss')
  const error = await rejection(property.subscribe(() => {}, { onError }))
  assert.equal(error.code, 'SUBSCRIBE_REFUSED')
  assert.deepEqual(lost.map((it) => [it.code, it.topic]), [['SUBSCRIBE_REFUSED', property.path]])
  assert.equal((await first).code, 'SUBSCRIBE_REFUSED')
})

/** Each uses a scope for something that leaves it without a connection. */
const WITHOUT_CONNECTION = {
  'a publish that is aborted at once': `const c = new AbortController()
    const published = propertyOf({}).publish(1, { signal: c.signal }); c.abort(); await published.catch(() => {})`,
  'an acknowledgement of a native WebSocket': `await propertyOf(native).publish(1, { qos: 1 }).catch(() => {})`,
  'a refused publish on a native WebSocket': `await propertyOf(native).publish(1).catch(() => {})`,
  'a refused subscription to a native WebSocket': `await propertyOf(native).subscribe(() => {}).catch(() => {})`
}

for (const [name, calls] of Object.entries(WITHOUT_CONNECTION)) {
  test(`a scope is forgotten after ${name}`, async () => {
    await start({ upgrade: () => 403 })
    const program = `const { Operator } = require('thng-pubsub')
      const native = { transport: 'websocket' }
      let reference
      function propertyOf(settings) {
        const operator = new Operator('${KEY}', { apiUrl: '${broker.apiUrl}', ...settings })
        reference = new WeakRef(operator)
        return operator.thng('U1').property('k')
      }
      async function main() {
        await (async () => { ${calls} })()
        const deadline = Date.now() + 10_000
        while (reference.deref()) {
          if (Date.now() > deadline) throw new Error('the scope is kept')
          await new Promise((resolve) => setTimeout(resolve, 5))
          gc()
        }
      }
      main()`
    await writeFile(join(user.folder, 'forgotten.cjs'), program)
    const { code, stderr } = await user.run(process.execPath, ['--expose-gc', 'forgotten.cjs'])
    assert.deepEqual([code, stderr], [0, ''])
  })
}

test('a program that has only published ends by itself', async () => {
  await start()
  const program = `const { Operator } = require('thng-pubsub')
    new Operator('${KEY}', { apiUrl: '${broker.url}', idleTimeout: 100 }).thng('U1').publish({ name: 'a' }, { qos: 1 })`
  await writeFile(join(user.folder, 'ends.cjs'), program)
  const { code, stderr } = await user.run(process.execPath, ['ends.cjs'])
  assert.deepEqual([code, stderr], [0, ''])
})
