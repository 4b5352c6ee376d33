/**
 * Pages with the script tag, against our own server: under each policy a page may have, two at once, and without a
 * network for a while.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

import { launch } from './chromium.mjs'
import { lineTo } from './line.mjs'
import { project } from './project.mjs'
import { createThng, key, rest, url } from './server.mjs'
import { serve } from './site.mjs'

/** The ways to the server at an address, each with the settings that choose it, and the most that it can promise. */
const TRANSPORTS = {
  MQTT: { settingsFor: (address) => ({ apiUrl: address }), qos: 1 },
  'a native WebSocket': { settingsFor: (address) => ({ apiUrl: address, transport: 'websocket' }), qos: 0 }
}

/** For a delay that no test waits for, however it is drawn. */
const NEVER_MS = 2 ** 31 - 1

const sources = `connect-src ${url} ${url.replace(/^http/, 'ws')}`

/** What a page may send as its Content-Security-Policy, and what becomes of a round trip under it. */
const POLICIES = [
  { name: 'no policy', outcome: 'there and back' },
  {
    name: "a policy with 'wasm-unsafe-eval'",
    policy: `default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; ${sources}`,
    outcome: 'there and back'
  },
  {
    name: 'a policy that forbids WebAssembly',
    policy: `default-src 'none'; script-src 'self'; ${sources}`,
    outcome: { name: 'PubSubError', code: 'WASM_BLOCKED' }
  },
  {
    name: 'a policy that forbids the WebSocket',
    policy: `default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src ${url}`,
    outcome: { name: 'PubSubError', code: 'HANDSHAKE' }
  }
]

const user = await project('policies')
const FILES = {
  '/index.html': fileURLToPath(new URL('apps/classic.html', import.meta.url)),
  '/evrythng.js': fileURLToPath(new URL('../node_modules/evrythng/dist/evrythng.browser.js', import.meta.url)),
  '/pubsub.js': join(user.folder, 'node_modules/thng-pubsub/dist/pubsub.js')
}
let policy
const site = await serve(
  (path) => FILES[path],
  () => (policy ? { 'content-security-policy': policy } : {})
)
const line = await lineTo(url)
const browser = await launch()

/** Opens a page whose `globalThis.property` is that property of evrythng.js, and which records its messages. */
async function open(t, path, settings, given) {
  policy = given
  const page = await browser.newPage()
  t.after(() => page.close())
  const thrown = []
  page.on('pageerror', (error) => thrown.push(String(error)))
  await page.goto(site)
  await page.evaluate(
    ({ key, url, path, settings }) => {
      evrythng.setup({ apiUrl: url, apiVersion: 1, geolocation: false })
      evrythng.use(PubSub)
      PubSub.setup(settings)
      const [, , thng, , name] = path.split('/')
      globalThis.property = new evrythng.Operator(key).thng(thng).property(name)
      globalThis.heard = []
      globalThis.subscribe = () => property.subscribe(([{ value }]) => heard.push(value))
      globalThis.happened = []
      for (const type of ['connected', 'disconnected']) PubSub.on(type, () => happened.push(type))
    },
    { key, url, path, settings }
  )
  return Object.assign(page, { thrown })
}

const hears = (page, value) => page.waitForFunction((value) => heard.includes(value), value)

async function propertyOfNewThng() {
  const { id } = await createThng()
  return `/thngs/${id}/properties/p`
}

for (const [transport, { settingsFor, qos }] of Object.entries(TRANSPORTS)) {
  const settings = settingsFor(url)

  for (const { name, policy, outcome } of POLICIES) {
    test(`${transport} under ${name}`, async (t) => {
      const page = await open(t, await propertyOfNewThng(), { ...settings, retryFirstConnection: false }, policy)
      const seen = await page.evaluate(async (qos) => {
        try {
          await subscribe()
          await property.publish('there and back', { qos })
        } catch ({ name, code }) {
          return { name, code }
        }
      }, qos)
      if (seen === undefined) await hears(page, outcome)
      else assert.deepEqual(seen, outcome)
      assert.deepEqual(page.thrown, [])
    })
  }

  test(`${transport} in two tabs at once`, async (t) => {
    const path = await propertyOfNewThng()
    const pages = [await open(t, path, settings), await open(t, path, settings)]
    await Promise.all(pages.map((page) => page.evaluate(() => subscribe())))
    await Promise.all(pages.map((page, at) => page.evaluate(([at, qos]) => property.publish(`tab ${at}`, { qos }), [at, qos])))
    for (const page of pages) {
      await hears(page, 'tab 0')
      await hears(page, 'tab 1')
      assert.equal(await page.evaluate(() => heard.length), 2)
    }
  })

  test(`${transport} offline and online again`, async (t) => {
    const path = await propertyOfNewThng()
    const settings = { ...settingsFor(line.address), reconnectPeriod: NEVER_MS, reconnectPeriodMax: NEVER_MS }
    const page = await open(t, path, settings)
    t.after(() => browser.setOffline(false))
    await page.evaluate(() => subscribe())
    // The browser tells its pages, and leaves the sockets that they have open.
    await browser.setOffline(true)
    line.cut()
    await page.waitForFunction(() => happened.at(-1) === 'disconnected')
    const published = page.evaluate((qos) => property.publish('while offline', { qos }), qos)
    line.mend()
    await browser.setOffline(false)
    await published
    await hears(page, 'while offline')
    await rest('PUT', path, [{ value: 'afterwards' }])
    await hears(page, 'afterwards')
    assert.deepEqual(await page.evaluate(() => happened), ['connected', 'disconnected', 'connected'])
  })
}
