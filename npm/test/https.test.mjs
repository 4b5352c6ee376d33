/**
 * Pages over HTTPS from our own server, in a browser that trusts its certificate.
 *
 * They may open no plain WebSocket, so all of their traffic uses TLS.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { afterEach, test } from 'node:test'
import tls from 'node:tls'

import { launch } from './chromium.mjs'
import { clientPem, createThng, httpsUrl, key, rest } from './server.mjs'

/** The hash of the public key of the server's certificate. */
async function keyHash() {
  const { hostname, port } = new URL(httpsUrl)
  const ca = await clientPem()
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ host: hostname, servername: hostname, port, ca }, () => {
      const publicKey = socket.getPeerX509Certificate().publicKey.export({ type: 'spki', format: 'der' })
      resolve(createHash('sha256').update(publicKey).digest('base64'))
      socket.end()
    })
    socket.on('error', reject)
  })
}

// This certificate and no other: every mistake with another one would still be found.
const browser = await launch(`--ignore-certificate-errors-spki-list=${await keyHash()}`)

let page
/** What the page has written to its console as an error, and what it has thrown. */
let complaints
/** The addresses of the WebSockets that it has opened, without what is behind `?`: there may be a key. */
let sockets

async function open(path) {
  complaints = []
  sockets = []
  page = await browser.newPage()
  page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()))
  page.on('pageerror', (error) => complaints.push(String(error)))
  page.on('websocket', (socket) => sockets.push(socket.url().split('?')[0]))
  const response = await page.goto(httpsUrl + path)
  assert.equal(response.status(), 200)
  assert.ok(await page.evaluate(() => isSecureContext))
}

afterEach(() => page?.close())

const wss = (path) => httpsUrl.replace('https', 'wss') + path

test('a page with the SDK publishes and hears over MQTT in a WebSocket, and over a native one', async () => {
  const { id } = await createThng()
  await open('/examples/')
  for (const [transport, socket] of [['mqtt', '/mqtt'], ['websocket', `/thngs/${id}/properties/websocket`]]) {
    // Without an address: the server is where the page came from.
    const seen = await page.evaluate(async ([key, id, transport]) => {
      const { default: PubSub } = await import('/sdk/thng-pubsub.mjs')
      const property = new PubSub.Operator(key, { transport }).thng(id).property(transport)
      const back = new Promise((resolve) => property.subscribe(([{ value }]) => resolve(value)).then(() => property.publish(21.5)))
      const value = await back
      const [stored] = await property.read()
      await PubSub.close()
      return [value, stored.value]
    }, [key, id, transport])
    assert.deepEqual(seen, [21.5, 21.5], transport)
    assert.deepEqual(sockets.splice(0), [wss(socket)])
    assert.equal((await rest('GET', `/thngs/${id}/properties/${transport}`))[0].value, 21.5)
  }
  assert.deepEqual(complaints, [])
})

for (const [name, property, socket] of [
  ['sdk/', 'heartbeat', '/mqtt'],
  ['paho/', 'temperature', '/mqtt'],
  ['websocket/', 'temperature', undefined]
]) {
  test(`the example ${name} works over HTTPS as it does without`, async () => {
    const { id } = await createThng()
    const row = (text) => page.locator('#log [data-direction=received] span:nth-of-type(2)').getByText(text, { exact: true })
    const path = `/thngs/${id}/properties/${property}`
    await open(`/examples/${name}#${new URLSearchParams({ key, thng: id, property })}`)
    await page.locator('#log [data-direction=received]').first().waitFor()
    await rest('PUT', path, [{ value: 'from outside' }])
    await row('"from outside"').waitFor()
    await page.getByLabel('Publish a value').fill('21.5')
    await page.getByRole('button', { name: 'Publish', exact: true }).click()
    await row('21.5').waitFor()
    assert.ok((await rest('GET', path)).some(({ value }) => value === 21.5))
    assert.deepEqual([...new Set(sockets)], [wss(socket ?? path)])
    assert.deepEqual(complaints, [])
  })
}
