/**
 * Invisible pages, against our own server: in a hidden tab with slow timers; frozen, which ends its connections; and
 * left for another page and revisited.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

import { launchWithTabs } from './chromium.mjs'
import { lineTo } from './line.mjs'
import { project } from './project.mjs'
import { createThng, key, rest, url } from './server.mjs'
import { serve } from './site.mjs'

/** For a delay that no test waits for, however it is drawn. */
const NEVER_MS = 2 ** 31 - 1

/** The packet that answers a ping, and how long a test waits for one. */
const PINGRESP = Buffer.from([0xd0, 0])
const WAIT_MAX = { timeout: 30_000 }

const TRANSPORTS = { MQTT: 'mqtt', 'a native WebSocket': 'websocket' }

const user = await project('background')
const FILES = {
  '/index.html': fileURLToPath(new URL('apps/script.html', import.meta.url)),
  '/elsewhere.html': fileURLToPath(new URL('apps/empty.html', import.meta.url)),
  '/pubsub.js': join(user.folder, 'node_modules/thng-pubsub/dist/pubsub.js')
}
/** Called when a page says that it is being frozen. */
let onFreeze = () => {}
const site = await serve((path) => {
  if (path === '/frozen') onFreeze()
  return FILES[path]
})
const line = await lineTo(url)
const browser = await launchWithTabs()

/** Opens a page that records what it receives of a property, its state first, and the events of its connection. */
async function open(t, settings) {
  const { id } = await createThng()
  const write = (value) => rest('PUT', `/thngs/${id}/properties/p`, [{ value }])
  await write('before')
  const page = await browser.newPage()
  t.after(() => page.close())
  const thrown = []
  page.on('pageerror', (error) => thrown.push(String(error)))
  await page.goto(site)
  await page.evaluate(
    async ({ key, id, settings }) => {
      globalThis.property = new PubSub.Operator(key, settings).thng(id).property('p')
      globalThis.heard = []
      globalThis.happened = []
      for (const type of ['connected', 'disconnected']) PubSub.on(type, ({ error }) => happened.push(error?.code ?? type))
      await property.subscribe(([{ value }]) => heard.push(value), { pubStates: true })
    },
    { key, id, settings: { apiUrl: line.address, reconnectPeriod: 1, ...settings } }
  )
  await hears(page, 'before')
  return Object.assign(page, { write, thrown })
}

/** Resolves when a condition holds in a page; asked by a timer, since a page that is not looked at draws nothing. */
const until = (page, condition, about) => page.waitForFunction(condition, about, { polling: 50 })

const hears = (page, value) => until(page, (value) => heard.includes(value), value)

/** Checks that a page has received exactly this, nothing twice, and the events of its connection. */
async function assertKept(page, expected) {
  assert.deepEqual(await page.evaluate(() => ({ heard, happened })), expected)
  assert.deepEqual(page.thrown, [])
}

/** Opens another tab in front of a page. */
async function hide(t, page) {
  const other = await browser.newPage()
  t.after(() => other.close())
  await other.bringToFront()
  await until(page, () => document.hidden)
}

/** Freezes a page as a browser freezes a long hidden tab: nothing runs in it until it is thawed. */
async function freezerOf(page) {
  const session = await browser.newCDPSession(page)
  const set = (state) => session.send('Page.setWebLifecycleState', { state })
  await page.evaluate(() => document.addEventListener('freeze', () => navigator.sendBeacon('/frozen')))
  async function freeze() {
    // The command returns before the page is frozen.
    const frozen = new Promise((resolve) => (onFreeze = resolve))
    await Promise.all([set('frozen'), frozen])
  }
  return { freeze, thaw: () => set('active') }
}

for (const [name, transport] of Object.entries(TRANSPORTS)) {
  test(`a page with ${name} that was frozen hears the state and what comes afterwards, each once`, async (t) => {
    const page = await open(t, { transport })
    const { freeze, thaw } = await freezerOf(page)
    await hide(t, page)
    await freeze()
    for (const value of ['missed', 'the state']) await page.write(value)
    await thaw()
    await hears(page, 'the state')
    await page.write('afterwards')
    await hears(page, 'afterwards')
    await assertKept(page, {
      heard: ['before', 'the state', 'afterwards'],
      happened: ['connected', 'CONNECTION_LOST', 'connected']
    })
  })

  test(`a page with ${name} whose connection was lost while it was hidden connects at once when it is looked at`, async (t) => {
    const page = await open(t, { transport, reconnectPeriod: NEVER_MS, reconnectPeriodMax: NEVER_MS })
    await hide(t, page)
    t.after(() => line.mend())
    line.cut()
    await until(page, () => happened.at(-1) === 'CONNECTION_LOST')
    line.mend()
    await page.write('meanwhile')
    await page.bringToFront()
    await hears(page, 'meanwhile')
    await page.write('afterwards')
    await hears(page, 'afterwards')
    await assertKept(page, {
      heard: ['before', 'meanwhile', 'afterwards'],
      happened: ['connected', 'CONNECTION_LOST', 'connected']
    })
  })

  test(`a page with ${name} that one comes back to hears the state and what comes afterwards, each once`, async (t) => {
    const page = await open(t, { transport })
    await page.goto(`${site}/elsewhere.html`)
    await page.write('meanwhile')
    // A page that was kept is not loaded again.
    await page.goBack({ waitUntil: 'commit' })
    assert.ok(await page.evaluate(() => globalThis.heard), 'it is the very page, as the browser has kept it')
    await hears(page, 'meanwhile')
    await page.write('afterwards')
    await hears(page, 'afterwards')
    await assertKept(page, {
      heard: ['before', 'meanwhile', 'afterwards'],
      happened: ['connected', 'CONNECTION_LOST', 'connected']
    })
  })
}

test('a page that is looked at again asks at once whether its connection lives', WAIT_MAX, async (t) => {
  const page = await open(t)
  await hide(t, page)
  const answered = line.keepUntil(PINGRESP)
  await page.bringToFront()
  await answered
  line.release()
  await page.write('afterwards')
  await hears(page, 'afterwards')
  await assertKept(page, { heard: ['before', 'afterwards'], happened: ['connected'] })
})

test('a hidden page keeps its connection alive, although its timers are held back', WAIT_MAX, async (t) => {
  // The server disconnects a client that is silent for one and a half times as long.
  const page = await open(t, { keepAlive: 3 })
  await hide(t, page)
  await page.evaluate(() => {
    globalThis.ticks = 0
    setInterval(() => ticks++, 10)
  })
  await line.keepUntil(PINGRESP)
  line.release()
  assert.ok((await page.evaluate(() => ticks)) < 100, 'its timers are held back')
  await page.write('afterwards')
  await hears(page, 'afterwards')
  await assertKept(page, { heard: ['before', 'afterwards'], happened: ['connected'] })
})

test('a page that is looked at again notices that its connection is gone without a word, and makes it again', async (t) => {
  const page = await open(t, { keepAlive: 2 })
  await hide(t, page)
  line.silence()
  await page.write('meanwhile')
  await page.bringToFront()
  await hears(page, 'meanwhile')
  await page.write('afterwards')
  await hears(page, 'afterwards')
  await assertKept(page, {
    heard: ['before', 'meanwhile', 'afterwards'],
    happened: ['connected', 'TIMEOUT', 'connected']
  })
})
