/**
 * What `pubStates` brings: the state once, to the subscription that asked for it, marked, and never behind an update.
 */
import assert from 'node:assert/strict'
import { afterEach, test } from 'node:test'

import { Broker } from './broker.mjs'
import { lineTo } from './line.mjs'
import { project } from './project.mjs'
import { createThng, key, rest, url } from './server.mjs'

const user = await project('states')
const PubSub = user.require('thng-pubsub')
const DEFAULTS = { ...PubSub.settings }
const line = await lineTo(url)

afterEach(async () => {
  await PubSub.close()
  PubSub.setup(DEFAULTS)
  line.mend()
})

/** A callback that records values and which of them were states, and a promise for a number of them. */
function inbox() {
  const seen = []
  let look = () => {}
  const receive = (updates, { isState }) => {
    for (const { key, value } of updates) seen.push([key, value, isState])
    look()
  }
  const until = (count) =>
    new Promise((resolve) => {
      look = () => seen.length >= count && resolve(seen)
      look()
    })
  return { receive, until, seen }
}

for (const transport of ['mqtt', 'websocket']) {
  const resource = async () => {
    const { id } = await createThng()
    const settings = { apiUrl: line.address, transport, reconnectPeriod: 20, reconnectPeriodMax: 100 }
    return new PubSub.Operator(key, settings).thng(id).property('k')
  }

  test(`${transport}: a state goes to the callback that asked, once and marked`, async () => {
    const property = await resource()
    await property.update(1)
    const [first, second, none] = [inbox(), inbox(), []]
    // Over native WebSockets each callback has a socket of its own, so this one may be last.
    let hasArrived
    const arrived = new Promise((resolve) => (hasArrived = resolve))
    await property.subscribe((...all) => hasArrived(none.push(all)))
    await property.subscribe(first.receive, { pubStates: true })
    await first.until(1)
    await property.subscribe(second.receive, { pubStates: true })
    await second.until(1)
    await property.update(2)
    for (const { until } of [first, second]) {
      assert.deepEqual(await until(2), [['k', 1, true], ['k', 2, false]])
    }
    await arrived
    assert.deepEqual(none.map(([[{ value }], ...rest]) => [value, rest]), [[2, []]])
  })

  test(`${transport}: an iterator says which message is a state`, async () => {
    const property = await resource()
    await property.update(1)
    const messages = property.messages({ pubStates: true })
    const states = []
    for await (const [{ value }] of messages) {
      states.push([value, messages.isState])
      if (value === 2) break
      await property.update(2)
    }
    assert.deepEqual(states, [[1, true], [2, false]])
  })

  test(`${transport}: the state comes again with another connection`, async () => {
    const property = await resource()
    await property.update(1)
    const { receive, until } = inbox()
    await property.subscribe(receive, { pubStates: true })
    await until(1)
    line.cut()
    line.mend()
    assert.deepEqual(await until(2), [['k', 1, true], ['k', 1, true]])
    line.cut()
    await rest('PUT', property.path, [{ value: 2 }])
    line.mend()
    assert.deepEqual((await until(3))[2], ['k', 2, true])
  })
}

test('of a state only what is newer than the updates arrives', async () => {
  const broker = await Broker.start()
  try {
    const all = new PubSub.Operator(key, { apiUrl: broker.url }).thng('U1').property()
    const { receive, until, seen } = inbox()
    const { topic } = await all.subscribe(receive, { pubStates: true })
    const send = (entries, retain) => {
      const updates = entries.map(([key, value, timestamp]) => ({ key, value, timestamp, createdAt: timestamp }))
      broker.client.send({ cmd: 'publish', topic, payload: JSON.stringify(updates), qos: 0, retain })
    }
    send([['a', 'update', 20]], false)
    send([['a', 'older', 10], ['b', 'state', 5]], true)
    send([['a', 'backdated update', 15]], false)
    await until(3)
    const last = inbox()
    await all.subscribe(last.receive, { pubStates: true })
    send([['a', 'update', 20], ['b', 'state', 5]], true)
    send([['c', 'end', 30]], false)
    assert.deepEqual(await until(4), [
      ['a', 'update', false],
      ['b', 'state', true],
      ['a', 'backdated update', false],
      ['c', 'end', false]
    ])
    assert.deepEqual(await last.until(3), [['a', 'update', true], ['b', 'state', true], ['c', 'end', false]])
    assert.equal(seen.length, 4)
  } finally {
    await PubSub.close()
    await broker.stop()
  }
})

test('a state of a later connection arrives although it is older', async () => {
  const broker = await Broker.start()
  try {
    const all = new PubSub.Operator(key, { apiUrl: broker.url, reconnectPeriod: 1, reconnectPeriodMax: 1 }).thng('U1').property()
    const { receive, until } = inbox()
    const { topic } = await all.subscribe(receive, { pubStates: true })
    const send = (value, timestamp, retain) => {
      const payload = JSON.stringify([{ key: 'a', value, timestamp, createdAt: timestamp }])
      broker.client.send({ cmd: 'publish', topic, payload, qos: 0, retain })
    }
    send('state', 20, true)
    send('update', 30, false)
    await until(2)
    broker.client.drop()
    await broker.until('resubscription', () => broker.clients.length === 2 && broker.client.filters.has(topic))
    send('older state', 10, true)
    send('update', 15, false)
    assert.deepEqual(await until(4), [
      ['a', 'state', true],
      ['a', 'update', false],
      ['a', 'older state', true],
      ['a', 'update', false]
    ])
    broker.client.drop()
    await broker.until('resubscription', () => broker.clients.length === 3 && broker.client.filters.has(topic))
    send('update', 12, false)
    send('state before the update', 11, true)
    send('end', 13, false)
    assert.deepEqual((await until(6)).slice(4), [['a', 'update', false], ['a', 'end', false]])
  } finally {
    await PubSub.close()
    await broker.stop()
  }
})
