/**
 * The SDK in a real browser: the example page as our server serves it, and what pages with other needs do.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, test } from 'node:test'

import { chromium } from 'playwright-core'

import { Broker } from './broker.mjs'
import { createThng, key, rest, url } from './server.mjs'

const executablePath = process.env.CHROMIUM ?? process.env.THNG_PUBSUB_CHROMIUM ?? '/usr/bin/chromium'
if (!existsSync(executablePath)) {
  throw new Error(`There is no browser at ${executablePath}. Install Debian's chromium, or say with CHROMIUM where one is.`)
}

const ARGUMENTS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync'
]

let profile
let browser
let page
/** What the page has written to its console as an error, and what it has thrown. */
let complaints

before(async () => {
  profile = await mkdtemp(join(tmpdir(), 'thng-pubsub-chromium-'))
  browser = await chromium.launchPersistentContext(profile, { executablePath, headless: true, args: ARGUMENTS })
  browser.setDefaultTimeout(20_000)
})

after(async () => {
  await browser?.close()
  await rm(profile, { recursive: true, force: true })
})

async function openPage() {
  complaints = []
  page = await browser.newPage()
  page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()))
  page.on('pageerror', (error) => complaints.push(String(error)))
  return page
}

afterEach(() => page?.close())

const example = (parameters) => `${url}/examples/sdk/?interval=100#${new URLSearchParams(parameters)}`
const rows = (direction) => page.locator(`#log [data-direction=${direction}] span:nth-of-type(2)`)
const status = () => page.locator('#status')

test('the example page sees its own property update come back', async () => {
  await openPage()
  const { id } = await createThng()
  await page.goto(example({ key, thng: id, property: 'heartbeat' }))
  await rows('received').nth(2).waitFor()
  const received = await rows('received').allTextContents()
  // An update may arrive before the answer to the request that made it.
  for (const value of received) await rows('sent').getByText(value, { exact: true }).waitFor()
  assert.equal(await status().textContent(), 'Connected')
  const history = await rest('GET', `/thngs/${id}/properties/heartbeat`)
  for (const value of received) assert.ok(history.some((stored) => String(stored.value) === value), `${value} is not stored`)
  assert.deepEqual(complaints, [])
})

test('the example page makes a thng of its own when none is given', async () => {
  await openPage()
  await page.goto(`${url}/examples/sdk/`)
  await page.getByLabel('Operator API key').fill(key)
  await page.getByRole('button', { name: 'Start' }).click()
  await rows('received').first().waitFor()
  const id = await page.getByLabel('Thng id').inputValue()
  assert.match(id, /^\w{24}$/)
  assert.equal((await rest('GET', `/thngs/${id}`)).name, 'SDK example')
  assert.deepEqual(complaints, [])
})

test('the example page hears others, publishes, and stops', async () => {
  await openPage()
  const { id } = await createThng()
  await page.goto(example({ key, thng: id, property: 'heartbeat' }))
  await rows('received').first().waitFor()
  await rest('PUT', `/thngs/${id}/properties/heartbeat`, [{ value: 'from outside' }])
  await rows('received').getByText('from outside').waitFor()
  await page.getByLabel('Publish a value').fill('21.5')
  await page.getByRole('button', { name: 'Publish' }).click()
  await rows('received').getByText('21.5', { exact: true }).waitFor()
  await page.getByRole('button', { name: 'Stop' }).click()
  await status().getByText('Stopped').waitFor()
  const [stored] = await rest('PUT', `/thngs/${id}/properties/heartbeat`, [{ value: 'unheard' }])
  assert.equal(stored.value, 'unheard')
  await page.getByRole('button', { name: 'Start' }).click()
  await rows('received').nth(1).waitFor()
  assert.equal(await rows('received').getByText('unheard').count(), 0)
  assert.deepEqual(complaints, [])
})

test('the example page says what is wrong with a key', async () => {
  await openPage()
  await page.goto(example({ key: 'Z'.repeat(80) }))
  await page.locator('#status[data-state=error]').getByText(/key/i).waitFor()
  assert.ok(await page.getByRole('button', { name: 'Start' }).isEnabled(), 'it can be tried again')
})

test('the example page fits a phone and a desktop, light and dark', async () => {
  await openPage()
  const { id } = await createThng()
  await page.goto(example({ key, thng: id }))
  await rows('received').nth(2).waitFor()
  for (const [width, height] of [[360, 740], [1280, 800]]) {
    await page.setViewportSize({ width, height })
    const wide = await page.evaluate(() => document.documentElement.scrollWidth)
    assert.ok(wide <= width, `it is ${wide} pixels wide on a screen of ${width}`)
  }
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor)
  await page.emulateMedia({ colorScheme: 'light' })
  const light = await ground()
  await page.emulateMedia({ colorScheme: 'dark' })
  assert.notEqual(await ground(), light)
})

test('the example page loads nothing from elsewhere', async () => {
  await openPage()
  const hosts = new Set()
  page.on('request', (request) => hosts.add(new URL(request.url()).host))
  page.on('websocket', (socket) => hosts.add(new URL(socket.url()).host))
  await page.goto(example({ key }))
  await rows('received').first().waitFor()
  hosts.delete('')
  assert.deepEqual([...hosts], [new URL(url).host])
})

/** Serves one page that has the SDK, under a policy, and opens it. */
async function openWith(policy) {
  const dist = new URL('../dist/', import.meta.url)
  const server = createServer(async (request, response) => {
    if (request.url === '/') {
      const headers = policy ? { 'content-security-policy': policy } : {}
      response.writeHead(200, { 'content-type': 'text/html', ...headers })
      // Without a charset: the script has to survive that.
      response.end('<title>x</title><script src="/evrythng.js"></script><script src="/pubsub.js"></script>')
    } else {
      response.writeHead(200, { 'content-type': 'text/javascript' })
      response.end(await readFile(new URL(`.${request.url}`, dist)).catch(() => ''))
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  await openPage()
  await page.goto(`http://127.0.0.1:${server.address().port}/`)
  return { close: () => server.close() }
}

/** Publishes and waits for it to come back, in the page; resolves with the value or with the error's code. */
const roundTrip = (apiUrl) =>
  page.evaluate(async (apiUrl) => {
    evrythng.use(PubSub)
    PubSub.setup({ apiUrl, reconnectPeriod: 60_000, reconnectPeriodMax: 60_000 })
    const scope = Object.create(evrythng.AccessToken.prototype, { apiKey: { value: 'A'.repeat(80) } })
    globalThis.property = scope.thng('U00000000000000000000000').property('k')
    try {
      return await new Promise((resolve, reject) => {
        property.subscribe(([{ value }]) => resolve(value)).then(() => property.publish(5), reject)
      })
    } catch (error) {
      return [error.name, error.code, error instanceof PubSub.PubSubError]
    }
  }, apiUrl)

test('a policy that allows wasm-unsafe-eval is enough', async () => {
  const broker = await Broker.start()
  const site = await openWith(`default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; connect-src ${broker.url}`)
  try {
    assert.equal(await roundTrip(broker.url), 5)
    assert.deepEqual(complaints, [])
  } finally {
    site.close()
    await broker.stop()
  }
})

test('a policy that forbids WebAssembly rejects the call and leaves the page alone', async () => {
  const broker = await Broker.start()
  const site = await openWith(`script-src 'self'`)
  try {
    assert.equal(await page.evaluate(() => typeof PubSub.install), 'function')
    assert.deepEqual(await roundTrip(broker.url), ['PubSubError', 'WASM_BLOCKED', true])
    assert.equal(broker.clients.length, 0)
  } finally {
    site.close()
    await broker.stop()
  }
})

test('when the network comes back, the wait for the next attempt ends', async () => {
  const broker = await Broker.start()
  const site = await openWith()
  try {
    assert.equal(await roundTrip(broker.url), 5)
    await page.evaluate(() => PubSub.on('disconnected', ({ retryInMs }) => (globalThis.retryInMs = retryInMs)))
    broker.client.drop()
    await page.waitForFunction(() => 'retryInMs' in globalThis)
    const delay = await page.evaluate(() => globalThis.retryInMs)
    const back = Date.now()
    await page.evaluate(() => dispatchEvent(new Event('online')))
    await broker.until('second connection', () => broker.clients.length === 2)
    // The delay is drawn from below a minute; a draw that is over already shows nothing, and is rare.
    assert.ok(delay < 2_000 || Date.now() - back < delay / 2, `it waited ${Date.now() - back} of ${delay} ms`)
    await broker.until('resubscription', () => broker.client.filters.size === 1)
  } finally {
    site.close()
    await broker.stop()
  }
})

test('a page that is looked at again makes sure that its connection lives', async () => {
  const broker = await Broker.start()
  const site = await openWith()
  try {
    assert.equal(await roundTrip(broker.url), 5)
    assert.equal(broker.packets('pingreq').length, 0)
    await page.evaluate(() => document.dispatchEvent(new Event('visibilitychange', { bubbles: true })))
    await broker.until('ping', () => broker.packets('pingreq').length === 1)
  } finally {
    site.close()
    await broker.stop()
  }
})
