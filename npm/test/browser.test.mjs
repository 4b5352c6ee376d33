/**
 * The SDK in a real browser: the example page as our server serves it.
 */
import assert from 'node:assert/strict'
import { afterEach, test } from 'node:test'

import { launch, resizeToFit } from './chromium.mjs'
import { assertServesSdk, createThng, key, rest, url } from './server.mjs'

await assertServesSdk()
const browser = await launch()

let page
/** What the page has written to its console as an error, and what it has thrown. */
let complaints

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
  for (const [width, height] of [[360, 740], [1280, 800]]) await resizeToFit(page, { width, height })
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
