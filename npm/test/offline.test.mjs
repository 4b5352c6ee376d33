/**
 * A page without a network, as its browser reports it.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

import { launch } from './chromium.mjs'
import { eventually } from './eventually.mjs'
import { project } from './project.mjs'
import { createThng, key, url } from './server.mjs'
import { serve } from './site.mjs'

const user = await project('offline')
const FILES = {
  '/index.html': fileURLToPath(new URL('apps/script.html', import.meta.url)),
  '/pubsub.js': join(user.folder, 'node_modules/thng-pubsub/dist/pubsub.js')
}
const site = await serve((path) => FILES[path])
const browser = await launch('--host-resolver-rules=MAP server.test 127.0.0.1')

/** A browser that reports no network says nothing of a server on its own machine, so this is the server by another name. */
const remote = url.replace('127.0.0.1', 'server.test')

async function open(t, settings) {
  const { id } = await createThng()
  const page = await browser.newPage()
  t.after(async () => {
    await browser.setOffline(false)
    await page.close()
  })
  await page.goto(site)
  await page.evaluate(
    ({ key, id, settings }) => {
      globalThis.scope = new PubSub.Operator(key, settings)
      globalThis.property = scope.thng(id).property('p')
      globalThis.events = []
      for (const type of ['connecting', 'connected', 'disconnected']) {
        scope.on(type, ({ error, retryInMs }) => events.push([type, error?.code ?? '', String(retryInMs)]))
      }
    },
    { key, id, settings: { apiUrl: remote, ...settings } }
  )
  return page
}

for (const transport of ['mqtt', 'websocket']) {
  test(`a page that goes offline ends its connection and waits: ${transport}`, async (t) => {
    const page = await open(t, { transport, reconnectPeriod: 1, reconnectPeriodMax: 1 })
    await page.evaluate(async () => {
      globalThis.values = []
      await property.subscribe(([{ value }]) => values.push(value))
    })
    await browser.setOffline(true)
    await page.waitForFunction(() => scope.state === 'disconnected')
    const published = page.evaluate(() => property.publish(5))
    await page.waitForFunction(() => !navigator.onLine)
    await browser.setOffline(false)
    await published
    await page.waitForFunction(() => values.includes(5))
    assert.deepEqual(await page.evaluate(() => events), [
      ['connecting', '', 'undefined'],
      ['connected', '', 'undefined'],
      ['disconnected', 'CONNECTION_LOST', 'Infinity'],
      ['connecting', '', 'undefined'],
      ['connected', '', 'undefined']
    ])
  })
}

test('a page that starts offline connects when the network is there', async (t) => {
  const page = await open(t)
  await browser.setOffline(true)
  await page.waitForFunction(() => !navigator.onLine)
  const published = page.evaluate(() => property.publish(5, { qos: 1 }))
  await page.waitForFunction(() => scope.state === 'disconnected')
  await browser.setOffline(false)
  await published
  assert.deepEqual(await page.evaluate(() => events.map(([type]) => type)), ['disconnected', 'connecting', 'connected'])
})

test('a worker that starts offline connects when the network is there', async (t) => {
  const page = await open(t)
  const started = page.waitForEvent('worker')
  await page.evaluate(() => void (globalThis.worker = new Worker('/pubsub.js')))
  const worker = await started
  await eventually('the SDK', () => worker.evaluate(() => 'PubSub' in globalThis))
  await browser.setOffline(true)
  // No event follows in a Chromium worker.
  await eventually('no network', () => worker.evaluate(() => !navigator.onLine))
  const { id } = await createThng()
  await worker.evaluate(
    ({ key, id, settings }) => {
      const property = new PubSub.Operator(key, settings).thng(id).property('p')
      globalThis.isPublished = false
      property.publish(5, { qos: 1 }).then(() => (globalThis.isPublished = true))
    },
    { key, id, settings: { apiUrl: remote, reconnectPeriod: 1, reconnectPeriodMax: 1 } }
  )
  await browser.setOffline(false)
  await eventually('a publish', () => worker.evaluate(() => isPublished))
})

test('a server on the same machine is there without a network', async (t) => {
  const page = await open(t, { apiUrl: url })
  await page.evaluate(() => property.subscribe(() => {}))
  await browser.setOffline(true)
  await page.waitForFunction(() => !navigator.onLine)
  assert.equal(await page.evaluate(() => scope.state), 'connected')
})
