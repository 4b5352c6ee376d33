/**
 * The script in a page, as a browser runs it, against our own server: alone, with the scopes of its own, and beside
 * evrythng.js, as its plugin; by both transports.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

import { launch } from './chromium.mjs'
import { project } from './project.mjs'
import { createThng, key, rest, url } from './server.mjs'
import { serve } from './site.mjs'

const WRONG_KEY = 'Z'.repeat(80)

/** For an answer that no test waits for. */
const NEVER_MS = 2 ** 31 - 1

/**
 * The transports: which sockets a page opens for some topics, and the error of a wrong key.
 *
 * No browser distinguishes a refused WebSocket from a lost network.
 */
const TRANSPORTS = {
  MQTT: { transport: 'mqtt', socketsFor: () => ['/mqtt'], refusal: 'UNAUTHORIZED' },
  'native WebSockets': { transport: 'websocket', socketsFor: (...topics) => topics.sort(), refusal: 'HANDSHAKE' }
}

const user = await project('script')
const script = join(user.folder, 'node_modules/thng-pubsub/dist/pubsub.js')
const FILES = {
  '/alone.html': fileURLToPath(new URL('apps/script.html', import.meta.url)),
  '/beside.html': fileURLToPath(new URL('apps/classic.html', import.meta.url)),
  '/evrythng.js': fileURLToPath(new URL('../node_modules/evrythng/dist/evrythng.browser.js', import.meta.url)),
  '/pubsub.js': script
}
const site = await serve((path) => FILES[path])
const browser = await launch()

/** A page before it is loaded, which keeps what it throws and the paths to which it opens WebSockets. */
async function newPage(t) {
  const page = await browser.newPage()
  t.after(() => page.close())
  const [thrown, sockets] = [[], []]
  page.on('pageerror', (error) => thrown.push(String(error)))
  page.on('websocket', (socket) => sockets.push(new URL(socket.url()).pathname))
  return Object.assign(page, { thrown, sockets: () => sockets.sort() })
}

/** Opens a page with the script alone, or with that of evrythng.js before it. */
async function open(t, address) {
  const page = await newPage(t)
  await page.goto(address)
  await page.evaluate(() => {
    /** What is known of the error that a promise rejects with. */
    globalThis.refusalOf = (promise) =>
      promise.then(
        () => 'none',
        ({ name, code, status, message, cause }) => ({ name, code, status, message, cause })
      )
    /** A callback for values of properties, which keeps them, and resolves `has` when one of them has come. */
    globalThis.ear = () => {
      const heard = []
      const waiting = new Map()
      const hear = (updates) => {
        for (const { value } of updates) {
          heard.push(value)
          waiting.get(value)?.()
        }
      }
      const has = (value) => heard.includes(value) || new Promise((resolve) => waiting.set(value, resolve))
      return Object.assign(hear, { heard, has })
    }
  })
  return page
}

const openAlone = (t) => open(t, `${site}/alone.html`)

/** Opens a page whose `globalThis.operator` is that of evrythng.js, with the plugin and these settings. */
async function openBeside(t, settings) {
  const page = await open(t, `${site}/beside.html`)
  await page.evaluate(
    ({ key, url, settings }) => {
      evrythng.setup({ apiUrl: url, apiVersion: 1, geolocation: false })
      evrythng.use(PubSub)
      PubSub.setup(settings)
      globalThis.operator = new evrythng.Operator(key)
    },
    { key, url, settings }
  )
  return page
}

test('the script alone creates, updates, reads, lists and deletes a thng, without a WebSocket', async (t) => {
  const page = await openAlone(t)
  const { created, updated, read, listed } = await page.evaluate(
    async ({ key, apiUrl }) => {
      globalThis.operator = new PubSub.Operator(key, { apiUrl })
      const created = await operator.thng().create({ name: 'a lamp', tags: ['hall'] })
      globalThis.thng = operator.thng(created.id)
      const updated = await thng.update({ description: 'in the hall' })
      const [listed] = await operator.thng().read({ params: { ids: [created.id] } })
      return { created, updated, read: await thng.read(), listed }
    },
    { key, apiUrl: url }
  )
  assert.deepEqual([created.name, updated.description, updated.tags], ['a lamp', 'in the hall', ['hall']])
  const stored = await rest('GET', `/thngs/${created.id}`)
  assert.deepEqual([read, listed], [stored, stored])

  const deleted = await page.evaluate(() => thng.delete())
  assert.equal(deleted, undefined)
  const refusal = await page.evaluate(() => refusalOf(thng.read()))
  assert.deepEqual([refusal.code, refusal.status], ['REQUEST_REFUSED', 404])
  await assert.rejects(rest('GET', `/thngs/${created.id}`), /404/)
  assert.deepEqual([page.sockets(), page.thrown], [[], []])
})

test('the script alone finds the server that the page came from', async (t) => {
  const { id } = await createThng()
  const page = await newPage(t)
  // Whatever it serves will do, without scripts of its own.
  await page.goto(`${url}/openapi.json`)
  await page.addScriptTag({ path: script })
  for (const { transport } of Object.values(TRANSPORTS)) {
    const value = await page.evaluate(
      async ({ key, id, transport }) => {
        const property = new PubSub.Operator(key, { transport }).thng(id).property('p')
        const messages = property.messages()
        const first = messages.next()
        await property.publish(transport)
        return (await first).value[0].value
      },
      { key, id, transport }
    )
    assert.equal(value, transport)
  }
  const history = await rest('GET', `/thngs/${id}/properties/p`)
  assert.deepEqual(history.map(({ value }) => value), ['websocket', 'mqtt'])
})

test('a signal ends a request that the script has under way', async (t) => {
  const page = await openAlone(t)
  // It is never answered.
  const asked = new Promise((resolve) => page.route(`${url}/thngs`, resolve))
  const outcome = page.evaluate(
    ({ key, apiUrl, answerTimeout }) => {
      globalThis.controller = new AbortController()
      const { signal } = controller
      return refusalOf(new PubSub.Operator(key, { apiUrl, answerTimeout }).thng().read({ signal }))
    },
    { key, apiUrl: url, answerTimeout: NEVER_MS }
  )
  await asked
  const failed = page.waitForEvent('requestfailed')
  await page.evaluate(() => controller.abort('changed my mind'))
  const { name, code, cause } = await outcome
  assert.deepEqual([name, code, cause], ['AbortError', 'ABORTED', 'changed my mind'])
  assert.equal((await failed).failure().errorText, 'net::ERR_ABORTED')
  assert.deepEqual(page.thrown, [])
})

for (const [name, { transport, socketsFor, refusal }] of Object.entries(TRANSPORTS)) {
  const settings = { apiUrl: url, transport }

  test(`a device that has the script alone publishes and hears it over ${name}`, async (t) => {
    const { id } = await createThng()
    const { thngApiKey } = await rest('POST', '/auth/evrythng/thngs', { thngId: id })
    const page = await openAlone(t)
    const seen = await page.evaluate(
      async ({ key, id, settings }) => {
        const property = new PubSub.Device(key, settings).thng(id).property('temperature')
        const [closed, open, looped] = [ear(), ear(), []]
        const subscription = await property.subscribe(closed)
        await property.subscribe(open)
        const loop = (async () => {
          for await (const [{ key, value }] of property.messages()) {
            looped.push([key, value])
            if (value === 'last') break
          }
        })()
        await property.publish(21.5)
        await property.publish('last')
        await loop
        await closed.has('last')
        await subscription.close()
        await property.publish('afterwards')
        await open.has('afterwards')
        return { closed: closed.heard, open: open.heard, looped }
      },
      { key: thngApiKey, id, settings }
    )
    assert.deepEqual(seen, {
      closed: [21.5, 'last'],
      open: [21.5, 'last', 'afterwards'],
      looped: [['temperature', 21.5], ['temperature', 'last']]
    })
    const history = await rest('GET', `/thngs/${id}/properties/temperature`)
    assert.deepEqual(history.map(({ value }) => value), ['afterwards', 'last', 21.5])
    assert.deepEqual(page.sockets(), socketsFor(`/thngs/${id}/properties/temperature`))
    assert.deepEqual(page.thrown, [])
  })

  test(`a signal ends a subscription and a loop over ${name}, and nothing else`, async (t) => {
    const { id } = await createThng()
    const page = await openAlone(t)
    const seen = await page.evaluate(
      async ({ key, id, settings }) => {
        const property = new PubSub.Operator(key, settings).thng(id).property('p')
        const controller = new AbortController()
        const { signal } = controller
        const [ended, other] = [ear(), ear()]
        await property.subscribe(ended, { signal })
        const next = refusalOf(property.messages({ signal }).next())
        await property.subscribe(other)
        controller.abort('changed my mind')
        await property.publish('afterwards')
        await other.has('afterwards')
        const late = refusalOf(property.subscribe(ended, { signal }))
        const codes = (await Promise.all([next, late])).map(({ name, code, cause }) => [name, code, cause])
        return { ended: ended.heard, other: other.heard, codes }
      },
      { key, id, settings }
    )
    const aborted = ['AbortError', 'ABORTED', 'changed my mind']
    assert.deepEqual(seen, { ended: [], other: ['afterwards'], codes: [aborted, aborted] })
    assert.deepEqual(page.thrown, [])
  })

  test(`a key that is refused over ${name} has a code for each call, and is in no message`, async (t) => {
    const { id } = await createThng()
    const page = await openAlone(t)
    const refusals = await page.evaluate(
      async ({ key, wrongKey, id, settings }) => {
        const propertyOf = (key) => new PubSub.Operator(key, settings).thng(id).property('p')
        const refusals = []
        // A scope for each, so that none gets the answer of another.
        for (const call of [
          (property) => property.subscribe(() => {}),
          (property) => property.messages().next(),
          (property) => property.publish(1),
          (property) => property.read()
        ]) {
          refusals.push(await refusalOf(call(propertyOf(wrongKey))))
        }
        const heard = ear()
        await propertyOf(key).subscribe(heard)
        await propertyOf(key).update('with the right key')
        await heard.has('with the right key')
        return refusals
      },
      { key, wrongKey: WRONG_KEY, id, settings }
    )
    assert.deepEqual(refusals.map(({ code }) => code), [refusal, refusal, refusal, 'REQUEST_REFUSED'])
    assert.equal(refusals.at(-1).status, 403)
    for (const { message } of refusals) assert.ok(!message.includes(WRONG_KEY), message)
    assert.deepEqual(page.thrown, [])
  })

  test(`the plugin of evrythng.js gives its entities over ${name}`, async (t) => {
    const { id } = await createThng()
    const page = await openBeside(t, settings)
    const seen = await page.evaluate(async (id) => {
      const thng = operator.thng(id)
      const values = ear()
      await thng.property('k').subscribe(values)
      let hear
      const entity = new Promise((resolve) => (hear = resolve))
      await thng.subscribe(hear)
      await thng.property('k').update('by evrythng.js')
      await thng.update({ description: 'changed' })
      const changed = await entity
      await changed.property('k').update('by the entity')
      await values.has('by the entity')
      return { description: changed.description, values: values.heard }
    }, id)
    assert.deepEqual(seen, { description: 'changed', values: ['by evrythng.js', 'by the entity'] })
    assert.deepEqual(page.sockets(), socketsFor(`/thngs/${id}`, `/thngs/${id}/properties/k`))
    assert.deepEqual(page.thrown, [])
  })
}

test('the transport of a call of the plugin wins over that of the settings', async (t) => {
  const { id } = await createThng()
  const page = await openBeside(t, { apiUrl: url })
  await page.evaluate(async (id) => {
    const [one, other] = [ear(), ear()]
    const property = operator.thng(id).property('k')
    await property.subscribe(one)
    await property.subscribe(other, { transport: 'websocket' })
    await property.publish('by MQTT')
    await property.publish('by WebSocket', { transport: 'websocket' })
    await Promise.all([one, other].flatMap((ear) => [ear.has('by MQTT'), ear.has('by WebSocket')]))
  }, id)
  assert.deepEqual(page.sockets(), ['/mqtt', `/thngs/${id}/properties/k`])
  assert.deepEqual(page.thrown, [])
})

test('what the server refuses on a native WebSocket of the plugin is an error of the topic, and costs no socket', async (t) => {
  const { id } = await createThng()
  const page = await openBeside(t, { apiUrl: url, transport: 'websocket' })
  const seen = await page.evaluate(async (id) => {
    const property = operator.thng(id).property('k')
    const heard = ear()
    await property.subscribe(heard)
    const told = new Promise((resolve) => PubSub.on('error', ({ error, topic }) => resolve({ code: error.code, topic })))
    await property.publish([{ value: 1, timestamp: 'never' }])
    const refused = await told
    const acknowledged = await refusalOf(property.publish(2, { qos: 1 }))
    await property.publish(3)
    await heard.has(3)
    return { refused, acknowledged: acknowledged.code, heard: heard.heard }
  }, id)
  const topic = `/thngs/${id}/properties/k`
  assert.deepEqual(seen, {
    refused: { code: 'PUBLISH_REFUSED', topic },
    acknowledged: 'NO_ACKNOWLEDGEMENT',
    heard: [3]
  })
  assert.deepEqual(page.sockets(), [topic])
  assert.deepEqual(page.thrown, [])
})
