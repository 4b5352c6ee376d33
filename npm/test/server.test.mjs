/**
 * The packed SDK in Node.js against our own server, with the real evrythng.js.
 */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'

import { project } from './project.mjs'
import { createThng, key, rest, url } from './server.mjs'

const user = await project('server')
const PubSub = user.require('thng-pubsub')
const evrythng = user.require('evrythng')

evrythng.setup({ apiUrl: url, apiVersion: 1, geolocation: false })
evrythng.use(PubSub)

const operator = new evrythng.Operator(key)
await operator.init()

after(() => PubSub.close())

/** Collects what a subscription receives. */
function inbox() {
  const messages = []
  const waiting = []
  const receive = (message) => {
    messages.push(message)
    for (const look of [...waiting]) look()
  }
  const next = (count, ms = 10_000) =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${messages.length} of ${count} messages came within ${ms} ms`)), ms)
      const look = () => {
        if (messages.length < count) return
        clearTimeout(timer)
        waiting.splice(waiting.indexOf(look), 1)
        resolve(messages.slice(0, count))
      }
      waiting.push(look)
      look()
    })
  return { receive, next, messages }
}

const plain = (message) => JSON.parse(JSON.stringify(message))

test('what is published is stored, and comes back as entities with its times', async () => {
  const { id } = await createThng()
  const temperature = operator.thng(id).property('temperature')
  const { receive, next } = inbox()
  await temperature.subscribe(receive)
  await temperature.publish(21.5, { qos: 1 })
  const [[update]] = await next(1)
  assert.equal(update.value, 21.5)
  assert.equal(update.key, 'temperature')
  assert.ok(Math.abs(update.timestamp - Date.now()) < 60_000)
  assert.equal(typeof update.update, 'function', 'it is an entity')
  const [stored] = await rest('GET', `/thngs/${id}/properties/temperature`)
  assert.deepEqual([stored.value, stored.timestamp], [21.5, update.timestamp])
})

test('an update by REST arrives, by evrythng.js and by anybody else', async () => {
  const { id } = await createThng()
  const property = operator.thng(id).property('a')
  const { receive, next } = inbox()
  await property.subscribe(receive)
  const [sent] = await property.update(1)
  await rest('PUT', `/thngs/${id}/properties/a`, [{ value: 2 }])
  const [[first], [second]] = await next(2)
  assert.deepEqual(plain(first), plain(sent))
  assert.equal(second.value, 2)
})

test('all properties of a thng are one topic', async () => {
  const { id } = await createThng()
  const thng = operator.thng(id)
  const all = inbox()
  const one = inbox()
  await thng.property().subscribe(all.receive)
  await thng.property('b').subscribe(one.receive)
  await thng.property().publish({ a: 1, b: 'two' }, { qos: 1 })
  const [updates] = await all.next(1)
  assert.deepEqual(updates.map(({ key, value }) => [key, value]).sort(), [['a', 1], ['b', 'two']])
  const [[update]] = await one.next(1)
  assert.deepEqual([update.key, update.value], ['b', 'two'])
})

test('pubStates brings the current value, and then the next', async () => {
  const { id } = await createThng()
  const property = operator.thng(id).property('a')
  await property.update('before')
  const { receive, next } = inbox()
  await property.subscribe(receive, { pubStates: true })
  assert.equal((await next(1))[0][0].value, 'before')
  await property.publish('after', { qos: 1 })
  assert.equal((await next(2))[1][0].value, 'after')
})

test('a key with what a path has to escape, and with capitals, is heard as the server spells it', async () => {
  const { id } = await createThng()
  const property = operator.thng(id).property('Room:1')
  assert.match(property.path, /Room%3A1$/)
  const { receive, next } = inbox()
  await property.subscribe(receive)
  await property.publish(1, { qos: 1 })
  assert.equal((await next(1))[0][0].key, 'room:1')
})

test('every kind of value survives', async () => {
  const { id } = await createThng()
  const property = operator.thng(id).property('any')
  const { receive, next } = inbox()
  await property.subscribe(receive)
  const values = [0, -1.5, false, true, 'text', '', 'null', 'ünïcödé ✓', ['a', 1], { nested: { deep: [1] } }]
  for (const value of values) await property.publish({ value }, { qos: 1 })
  assert.deepEqual((await next(values.length)).map(([update]) => plain(update.value)), values)
})

test('after unsubscribe() nothing arrives', async () => {
  const { id } = await createThng()
  const property = operator.thng(id).property('a')
  const gone = inbox()
  const kept = inbox()
  await property.subscribe(gone.receive)
  await operator.thng(id).property().subscribe(kept.receive)
  await property.unsubscribe()
  await property.publish(1, { qos: 1 })
  await kept.next(1)
  assert.equal(gone.messages.length, 0)
})

test('a thousand publishes of QoS 1 are stored and delivered in order', async () => {
  const { id } = await createThng()
  const property = operator.thng(id).property('count')
  const { receive, next } = inbox()
  await property.subscribe(receive, { qos: 1 })
  await Promise.all(Array.from({ length: 1000 }, (_, n) => property.publish(n, { qos: 1 })))
  const values = (await next(1000, 60_000)).map(([update]) => update.value)
  assert.deepEqual(values, [...Array(1000).keys()])
})

test('a subscription to what does not exist, or is no topic, is refused with its topic', async () => {
  const nobody = operator.thng('UAbcdefghkmnpqrstwxyABCD').property('a')
  await assert.rejects(nobody.subscribe(() => {}), { code: 'SUBSCRIBE_REFUSED', topic: nobody.path })
  await assert.rejects(operator.thng().subscribe(() => {}), { code: 'SUBSCRIBE_REFUSED', topic: '/thngs' })
})

test('a publish to what does not exist is refused at QoS 1, and the connection stays', async () => {
  const property = operator.thng('UAbcdefghkmnpqrstwxyABCD').property('a')
  const lost = []
  const onLost = (event) => lost.push(event)
  PubSub.on('disconnected', onLost)
  const expected = { code: 'PUBLISH_REFUSED', topic: property.path, status: 404 }
  await assert.rejects(property.publish(1, { qos: 1 }), expected)
  const { id } = await createThng()
  await operator.thng(id).property('a').publish(1, { qos: 1 })
  PubSub.off('disconnected', onLost)
  assert.deepEqual(lost, [])
})

test('a wrong key is refused', async () => {
  const { id } = await createThng()
  const property = operator.thng(id).property('a')
  const authorization = 'Z'.repeat(80)
  await assert.rejects(property.subscribe(() => {}, { authorization }), { code: 'UNAUTHORIZED' })
  await assert.rejects(property.publish(1, { authorization }), { code: 'UNAUTHORIZED' })
})

test('evrythng 5 and evrythng-extended 4.7.2 hear and publish as well', async () => {
  const { id } = await createThng()
  const path = `/thngs/${id}/properties/a`
  const five = user.require('evrythng-5')
  five.setup({ apiUrl: url, geolocation: false })
  five.use(PubSub)
  const four = user.require('evrythng-extended')
  four.setup({ apiUrl: url, geolocation: false, quiet: true })
  four.use(PubSub)

  const byFive = new five.Operator(key)
  await byFive.init()
  const byFour = new four.Operator(key)
  const thng = await byFour.thng(id).read()

  const properties = [byFive.thng(id).property('a'), thng.property('a')]
  for (const [n, property] of properties.entries()) {
    assert.equal(property.path, path)
    const { receive, next } = inbox()
    await property.subscribe(receive)
    await property.publish(n, { qos: 1 })
    assert.equal((await next(1))[0][0].value, n)
  }
})
