// Clients that run in a browser: npm's `paho-mqtt`, and Chromium's own WebSocket. `browser-page.js` is what uses them.

import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'

import { chromium } from 'playwright-core'

import { exercise } from './exercise.mjs'
import { Events, createThng, httpUrl, key, rest } from './server.mjs'

const executablePath = process.env.THNG_PUBSUB_CHROMIUM ?? '/usr/bin/chromium'
if (!existsSync(executablePath)) {
  throw new Error(`there is no browser at ${executablePath}: install Debian's chromium, or set THNG_PUBSUB_CHROMIUM`)
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

const SCRIPTS = {
  '/paho-mqtt.js': createRequire(import.meta.url).resolve('paho-mqtt'),
  '/browser-page.js': join(import.meta.dirname, 'browser-page.js')
}
const PAGE = `<!doctype html><title>Clients</title>${Object.keys(SCRIPTS).map(path => `<script src="${path}"></script>`)}`

const { host } = new URL(httpUrl)
const site = createServer(async (request, response) => {
  const script = SCRIPTS[request.url]
  response.writeHead(200, { 'content-type': script ? 'text/javascript' : 'text/html' })
  response.end(script ? await readFile(script) : PAGE)
})
let profile
let browser

before(async () => {
  await once(site.listen(0, '127.0.0.1'), 'listening')
  profile = await mkdtemp(join(tmpdir(), 'thng-pubsub-chromium-'))
  browser = await chromium.launchPersistentContext(profile, { executablePath, headless: true, args: ARGUMENTS })
})

after(async () => {
  await browser?.close()
  site.close()
  await rm(profile, { recursive: true, force: true })
})

/** A new page, and what it tells. */
async function openPage () {
  const page = await browser.newPage()
  const told = new EventEmitter()
  page.on('pageerror', error => told.emit('error', error))
  await page.exposeFunction('tell', (...what) => { told.emit(...what) })
  await page.goto(`http://127.0.0.1:${site.address().port}/`)
  return { page, told }
}

/** A client for the exercise: one of the page's, by its name there. */
async function exercised (name, settings) {
  const { page, told } = await openPage()
  const call = (method, ...args) =>
    page.evaluate(([name, method, args]) => globalThis[name][method](...args), [name, method, args])
  const [messages, connected, delivered] = ['message', 'connected', 'delivered'].map(event => new Events(told, event))
  await call('connect', { key, ...settings })
  const isMqtt = name === 'paho'
  if (isMqtt) await connected.take()
  let subscriptions = 0
  return {
    messages,
    async subscribe (topic, qos) {
      const granted = await call('subscribe', topic, qos)
      if (isMqtt) assert.equal(granted, qos)
      subscriptions += 1
    },
    async publish (topic, payload) {
      await call('publish', topic, payload)
      if (isMqtt) await delivered.take()
    },
    async back () {
      for (let left = isMqtt ? 1 : subscriptions; left > 0; left -= 1) await connected.take()
      return false
    },
    close: () => page.close()
  }
}

for (const mqttVersion of [3, 4]) {
  describe(`paho-mqtt with protocol ${mqttVersion}`, () => {
    exercise(host, settings => exercised('paho', { ...settings, mqttVersion }))
  })
}

describe("Chromium's own WebSocket", () => exercise(host, settings => exercised('sockets', settings)))

test("the example for Paho's client: no user name, the default path, and the key in the topic", async () => {
  const { page, told } = await openPage()
  const topic = `/thngs/${await createThng()}/properties?access_token=${key}`
  await page.evaluate(([host, port, topic]) => new Promise((resolve, reject) => {
    const client = new Paho.Client(host, port, `client_${Date.now()}`)
    client.onMessageArrived = message => tell('message', message.destinationName, message.payloadString)
    client.connect({ onSuccess: () => client.subscribe(topic, { onSuccess: () => resolve(), onFailure: reject }) })
  }), [...host.split(/:(?=\d+$)/).map((part, at) => (at ? Number(part) : part)), topic])
  const messages = new Events(told, 'message')
  const { body } = await rest('PUT', topic.split('?')[0], [{ key: 'temperature', value: 21.5 }])
  const [on, payload] = await messages.take()
  assert.deepEqual([on, JSON.parse(payload)], [topic, body])
  await page.close()
})
