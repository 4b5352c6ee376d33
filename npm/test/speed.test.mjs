/**
 * The SDK beside npm's mqtt, in fresh pages of one browser that take turns, against our own server.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

import mqtt from 'mqtt'

import { launch } from './chromium.mjs'
import { lineTo } from './line.mjs'
import { project } from './project.mjs'
import { createThng, key, url } from './server.mjs'
import { serve } from './site.mjs'

/** How much slower than the other one may look on a machine that does other things too. */
const SLACK = 1.15

const STARTS = 7
const BURSTS = 5
const MESSAGES = 10_000
const MESSAGE_BYTES = 200

const user = await project('speed')
const FILES = {
  '/index.html': fileURLToPath(new URL('apps/speed.html', import.meta.url)),
  '/mqtt.js': fileURLToPath(new URL('../node_modules/mqtt/dist/mqtt.min.js', import.meta.url)),
  '/pubsub.js': join(user.folder, 'node_modules/thng-pubsub/dist/pubsub.js')
}
const site = await serve(
  (path) => FILES[path],
  () => ({ 'cache-control': 'no-store' })
)
const lines = { ours: await lineTo(url), theirs: await lineTo(url) }
const browser = await launch()

const median = (numbers) => [...numbers].sort((one, other) => one - other)[Math.floor(numbers.length / 2)]
const rounded = (numbers) => numbers.map((number) => Math.round(number)).join(' ')

/** Both, with another one first every time. */
const turns = (round) => (round % 2 ? ['theirs', 'ours'] : ['ours', 'theirs'])

function compare(t, times) {
  const [ours, theirs] = [median(times.ours), median(times.theirs)]
  t.diagnostic(`ours: median ${ours.toFixed(1)} ms of ${rounded(times.ours)}`)
  t.diagnostic(`mqtt: median ${theirs.toFixed(1)} ms of ${rounded(times.theirs)}`)
  t.diagnostic(`ratio ${(ours / theirs).toFixed(2)}`)
  assert.ok(ours <= theirs * SLACK, `${ours} ms is more than ${theirs} ms`)
}

async function pathOfNewProperty() {
  const { id } = await createThng()
  return `/thngs/${id}/properties/p`
}

test('from the script tag to the first message it is not slower than mqtt', async (t) => {
  const path = await pathOfNewProperty()
  const times = { ours: [], theirs: [] }
  for (let round = 0; round < STARTS; round++) {
    for (const name of turns(round)) {
      const page = await browser.newPage()
      await page.goto(site)
      const time = await page.evaluate(([name, about]) => measureStart(name, about), [name, { apiUrl: url, key, path }])
      times[name].push(time)
      await page.close()
    }
  }
  compare(t, times)
})

test('a burst of messages is received and parsed at least as fast as by mqtt', async (t) => {
  const path = await pathOfNewProperty()
  const pages = {}
  for (const [name, { address }] of Object.entries(lines)) {
    pages[name] = await browser.newPage()
    await pages[name].goto(site)
    const about = { apiUrl: address, key, path }
    await pages[name].evaluate((given) => measureBursts(...given), [name, about, MESSAGES])
  }
  const options = { protocolVersion: 4, username: 'authorization', password: key }
  const publisher = await mqtt.connectAsync(`mqtt://${process.env.THNG_PUBSUB_TEST_MQTT}`, options)
  t.after(() => publisher.endAsync())

  for (let round = 0; round < BURSTS; round++) {
    // The messages wait outside the browser until they have all come, so that it is not the server that is measured.
    const kept = Object.values(lines).map((line) => line.keepUntil(`"last of ${round}`))
    for (let at = 1; at < MESSAGES; at++) publisher.publish(path, message(`${at} of ${round}`))
    publisher.publish(path, message(`last of ${round}`))
    await Promise.all(kept)
    for (const name of turns(round)) {
      await pages[name].bringToFront()
      lines[name].release()
      await pages[name].waitForFunction((count) => bursts.length === count, round + 1)
    }
  }
  const times = {}
  for (const name of Object.keys(pages)) times[name] = await pages[name].evaluate(() => bursts)
  compare(t, times)
})

/** An update that is a message of the size when it comes back, with its key and its times. */
function message(text) {
  const others = '[{"key":"p","value":"","timestamp":1700000000000,"createdAt":1700000000000}]'.length
  return JSON.stringify([{ value: text.padEnd(MESSAGE_BYTES - others) }])
}
