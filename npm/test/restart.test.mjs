/**
 * What a scope with much to say makes of a server that is restarted: in Node.js and in Chromium, within the size that
 * servers allow for one WebSocket message.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, test } from 'node:test'

import { launch } from './chromium.mjs'
import { ownServer } from './own-server.mjs'
import { project } from './project.mjs'

/** Bytes of a WebSocket message that the SDK sends at the most. */
const MESSAGE_BYTES_MAX = 64 * 1024

/** What never settles is to fail, and not to hold up the others. */
const LIMIT = { timeout: 120_000 }

const user = await project('restart')
const server = await ownServer()
const { key, url } = server
const browser = await launch()
const WebSocket = user.require('ws')

/**
 * What each place to run in has: `run(part, argument)` calls one of the parts below there, `sizes()` are those of the
 * WebSocket messages that were sent.
 */
const PLACES = { 'Node.js': inNode, Chromium: inChromium }

/** The program of the tests, in parts; `state` is the same object in all of them. */
const parts = {
  async connect(PubSub, state, { key, url, id }) {
    const scope = new PubSub.Operator(key, { apiUrl: url, reconnectPeriodMax: 500 })
    Object.assign(state, { PubSub, thng: scope.thng(id), isConnected: false, received: [] })
    PubSub.on('connected', () => (state.isConnected = true))
    PubSub.on('disconnected', () => (state.isConnected = false))
    await state.thng.property('first').publish(0, { qos: 1 })
  },
  async untilConnected(_, state, isConnected) {
    while (state.isConnected !== isConnected) await new Promise((resolve) => setTimeout(resolve, 10))
  },
  publish(_, state, [count, bytes]) {
    const values = Array.from({ length: count }, (_, n) => `${n} `.padEnd(bytes, 'x'))
    state.published = Promise.allSettled(values.map((value) => state.thng.property('k').publish(value, { qos: 1 })))
  },
  async outcomes(_, state) {
    return (await state.published).map(({ status, reason }) => reason?.code ?? status)
  },
  async subscribe(_, state, count) {
    const receive = (n) => state.thng.property(`p${n}`).subscribe(([{ value }]) => state.received.push([n, value]))
    await Promise.all(Array.from({ length: count }, (_, n) => receive(n)))
  },
  async updateAndTake(_, state, numbers) {
    const taken = state.received.splice(0)
    for (const n of numbers) await state.thng.property(`p${n}`).publish(`value ${n}`, { qos: 1 })
    while (state.received.length < numbers.length) await new Promise((resolve) => setTimeout(resolve, 10))
    // Deliveries are in order within a topic only.
    return [...taken, ...state.received.splice(0)].sort(([one], [other]) => one - other)
  },
  close: (PubSub) => PubSub.close()
}

async function inNode() {
  const sizes = []
  const PubSub = user.require('thng-pubsub')
  PubSub.setup({
    WebSocket: class extends WebSocket {
      send(bytes) {
        sizes.push(bytes.length)
        super.send(bytes)
      }
    }
  })
  const state = {}
  return { run: async (part, argument) => parts[part](PubSub, state, argument), sizes: () => sizes, leave() {} }
}

async function inChromium() {
  const sizes = []
  const page = await browser.newPage()
  page.on('websocket', (socket) => socket.on('framesent', ({ payload }) => sizes.push(payload.length)))
  // A page of the server would refuse the script, which is inline.
  await page.goto(`${url}/openapi.json`)
  await page.addScriptTag({ path: join(user.folder, 'node_modules/thng-pubsub/dist/pubsub.js') })
  const run = (part, argument) =>
    page.evaluate(`(${functionOf(parts[part])})(PubSub, globalThis.state ??= {}, ${JSON.stringify(argument)})`)
  return { run, sizes: () => sizes, leave: () => page.close() }
}

/** The text of a method as that of a function. */
const functionOf = (method) => String(method).replace(/^(async )?(\w+)(?=\()/, '$1function ')

for (const [name, open] of Object.entries(PLACES)) {
  test(`${name}: a full queue settles when the server returns`, LIMIT, async (t) => {
    const { id } = await server.rest('POST', '/thngs', { name: 'restart' })
    const { run, sizes, leave } = await open()
    await run('connect', { key, url, id })
    await server.stop()
    await run('untilConnected', false)
    await run('publish', [1000, 1000])
    await server.start()
    const since = Date.now()
    const outcomes = await run('outcomes')
    t.diagnostic(`1,000 publishes settled ${Date.now() - since} ms after the server was ready`)
    assert.deepEqual(new Set(outcomes), new Set(['fulfilled']))
    assert.ok(Date.now() - since < 10_000, 'within ten seconds')
    const [latest] = await server.rest('GET', `/thngs/${id}/properties/k`)
    assert.match(latest.value, /^999 /, 'in order')
    assert.ok(Math.max(...sizes()) <= MESSAGE_BYTES_MAX, `a message had ${Math.max(...sizes())} bytes`)
    await run('close')
    await leave()
  })

  test(`${name}: 10,000 subscriptions survive a restart of the server`, LIMIT, async (t) => {
    const { id } = await server.rest('POST', '/thngs', { name: 'restart' })
    const { run, sizes, leave } = await open()
    await run('connect', { key, url, id })
    await run('subscribe', 10_000)
    const some = [0, 1, 99, 100, 5000, 9998, 9999]
    const expected = some.map((n) => [n, `value ${n}`])
    assert.deepEqual(await run('updateAndTake', some), expected)
    await server.stop()
    await run('untilConnected', false)
    await server.start()
    const since = Date.now()
    await run('untilConnected', true)
    assert.deepEqual(await run('updateAndTake', some), expected)
    t.diagnostic(`10,000 subscriptions were back ${Date.now() - since} ms after the server was ready`)
    assert.ok(Math.max(...sizes()) <= MESSAGE_BYTES_MAX, `a message had ${Math.max(...sizes())} bytes`)
    await run('close')
    await leave()
  })
}

after(() => user.require('thng-pubsub').close())
