/**
 * The examples of `examples-web/`, as people use them: the pages in a browser, as the server serves them, and the programs
 * as they are started in a terminal. What a page shows is compared with what the server has stored.
 */
import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { afterEach, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'

import { launch, resizeToFit } from './chromium.mjs'
import { lineTo } from './line.mjs'
import { assertServesSdk, createThng, key, rest, url } from './server.mjs'

const WRONG_KEY = 'Z'.repeat(80)
const PHONE = { width: 390, height: 844 }
const DESKTOP = { width: 1280, height: 800 }

/** The pages by what they are called in the address; the list of them is `''`. */
const PAGES = ['', 'sdk/', 'websocket/', 'paho/', 'app/']

const browser = await launch()
const line = await lineTo(url)

const address = (page, parameters, origin = url) => `${origin}/examples/${page}#${new URLSearchParams(parameters)}`

describe('in a browser', () => {
  let page
  /** What the page has written to its console as an error, and what it has thrown. */
  let complaints
  /** The WebSockets that the page has opened. */
  let sockets

  before(assertServesSdk)
  afterEach(() => {
    line.mend()
    return page?.close()
  })

  /** Opens an example, in the browser's only tab of this test. */
  async function open(name, parameters = {}, origin = url) {
    complaints = []
    sockets = []
    page = await browser.newPage()
    page.on('websocket', (socket) => sockets.push(socket))
    page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()))
    page.on('pageerror', (error) => complaints.push(String(error)))
    const response = await page.goto(address(name, parameters, origin))
    assert.equal(response.status(), 200)
  }

  const status = (state) => page.locator(`#status[data-state=${state}]`)
  const button = (name) => page.getByRole('button', { name, exact: true })
  const row = (direction, text) =>
    page.locator(`#log [data-direction=${direction}] span:nth-of-type(2)`).getByText(text, { exact: true })

  describe('the list of examples', () => {
    test('leads to nothing that the server does not have', async () => {
      await open('')
      const links = await page.locator('main a').evaluateAll((all) => all.map((link) => link.href))
      assert.ok(links.length >= 10, `these are all: ${links}`)
      for (const link of links) assert.equal((await fetch(link)).status, 200, link)
    })

    test('takes the key and the thng along to a page, which then starts by itself', async () => {
      const { id } = await createThng()
      await open('')
      await page.getByLabel('Operator API key').fill(key)
      await page.getByLabel('Thng id').fill(id)
      await page.getByRole('link', { name: 'Native WebSocket' }).click()
      await status('connected').waitFor()
      assert.equal(await page.getByLabel('Thng id').inputValue(), id)
      assert.deepEqual(complaints, [])
    })
  })

  for (const [name, thngName] of [
    ['websocket/', 'WebSocket example'],
    ['paho/', 'Paho example']
  ]) {
    describe(name, () => {
      test('shows what it has sent and what others write, and publishes', async () => {
        const { id } = await createThng()
        const property = `/thngs/${id}/properties/temperature`
        await open(name, { key, thng: id })
        await row('received', '37.2').waitFor()
        await rest('PUT', property, [{ value: 'from outside' }])
        await row('received', '"from outside"').waitFor()
        await page.getByLabel('Publish a value').fill('21.5')
        await button('Publish').click()
        await row('received', '21.5').waitFor()
        assert.equal(await page.locator('#value').textContent(), '21.5')
        const history = await rest('GET', property)
        assert.deepEqual(history.map(({ value }) => value), [21.5, 'from outside', 37.2])
        assert.deepEqual(complaints, [])
      })

      test('makes a thng of its own when none is given, and stops', async () => {
        await open(name)
        await page.getByLabel('Operator API key').fill(key)
        await button('Start').click()
        await row('received', '37.2').waitFor()
        const id = await page.getByLabel('Thng id').inputValue()
        assert.equal((await rest('GET', `/thngs/${id}`)).name, thngName)
        await button('Stop').click()
        await status('idle').waitFor()
        await rest('PUT', `/thngs/${id}/properties/temperature`, [{ value: 'unheard' }])
        await button('Start').click()
        await row('received', '37.2').nth(1).waitFor()
        assert.equal(await row('received', '"unheard"').count(), 0)
        assert.deepEqual(complaints, [])
      })

      test('says in words that the key is wrong, with a thng and without, and can be started again', async () => {
        const { id } = await createThng()
        for (const parameters of [{ key: WRONG_KEY, thng: id }, { key: WRONG_KEY }]) {
          await open(name, parameters)
          await status('error').getByText('The API key is not valid.').waitFor()
          await page.getByLabel('Operator API key').fill(key)
          await button('Start').click()
          await row('received', '37.2').waitFor()
          await page.close()
        }
      })

      test('says in words that there is no such thng', async () => {
        await open(name, { key, thng: 'U00000000000000000000000' })
        await status('error').getByText('The requested resource was not found.').waitFor()
      })

      test('shows its own code', async () => {
        await open(name)
        await page.getByText('The code of this page').click()
        await page.getByLabel('script.js').getByText('access_token').waitFor()
      })
    })
  }

  describe('websocket/', () => {
    test('shows what the server says to a message that is no JSON, and stays connected', async () => {
      const { id } = await createThng()
      await open('websocket/', { key, thng: id })
      await row('received', '37.2').waitFor()
      await button('Send invalid JSON').click()
      const refused = page.locator('#log [data-direction=refused]')
      await refused.getByText(/JSON/).waitFor()
      assert.match(await refused.textContent(), /status 400/)
      await page.getByLabel('Publish a value').fill('38')
      await button('Publish').click()
      await row('received', '38').waitFor()
      assert.deepEqual(complaints, [])
    })

    test('says with which code it was closed, and what that means', async () => {
      const { id } = await createThng()
      await open('websocket/', { key, thng: id })
      await row('received', '37.2').waitFor()
      await page.getByLabel('Publish a value').fill('x'.repeat(200_000))
      await button('Publish').click()
      await status('error').getByText('Closed with code 1009: a message that is too large').waitFor()
      await button('Start').click()
      await status('connected').waitFor()
      await button('Stop').click()
      await status('idle').getByText('Closed with code 1000').waitFor()
    })
  })

  describe('paho/', () => {
    test('connects without a key, which only the topic brings', async () => {
      const { id } = await createThng()
      await open('paho/')
      const frames = []
      page.on('websocket', (socket) => socket.on('framesent', ({ payload }) => frames.push(String(payload))))
      await page.goto('about:blank')
      await page.goto(address('paho/', { key, thng: id }))
      await row('received', '37.2').waitFor()
      const [connect, subscribe] = frames
      assert.ok(connect.includes('MQTT') && !connect.includes(key), 'CONNECT has no key')
      assert.ok(subscribe.includes(`access_token=${key}`), 'SUBSCRIBE has it')
    })
  })

  describe('app/', () => {
    const value = (text) => page.locator('#value').getByText(text, { exact: true })

    test('shows the values of before, those that others write, and publishes one', async () => {
      const { id } = await createThng()
      const property = `/thngs/${id}/properties/temperature`
      await rest('PUT', property, [{ value: 18.5 }])
      await open('app/', { key, thng: id })
      await value('18.5 °C').waitFor()
      await page.getByRole('img', { name: '1 value, the latest is 18.5' }).waitFor()
      await rest('PUT', property, [{ value: 19.5 }])
      await value('19.5 °C').waitFor()
      await page.getByLabel('Publish a value').fill('20.5')
      await button('Publish').click()
      await page.getByRole('img', { name: '3 values, the latest is 20.5' }).waitFor()
      const history = await rest('GET', property)
      assert.deepEqual(history.map((stored) => stored.value), [20.5, 19.5, 18.5])
      assert.deepEqual(complaints, [])
    })

    test('draws the values as a line', async () => {
      const { id } = await createThng()
      await open('app/', { key, thng: id })
      await status('connected').waitFor()
      const drawing = () => page.locator('#chart canvas').evaluate((canvas) => canvas.toDataURL())
      const empty = await drawing()
      await rest('PUT', `/thngs/${id}/properties/temperature`, [{ value: 10 }])
      await value('10 °C').waitFor()
      await page.waitForFunction((empty) => document.querySelector('#chart canvas').toDataURL() !== empty, empty)
    })

    test('makes a thng of its own when none is given, whose sensor it is', async () => {
      await open('app/')
      await page.getByLabel('Operator API key').fill(key)
      await button('Start').click()
      await page.getByRole('img', { name: /^Chart of the temperature: 3 values/ }).waitFor()
      const id = await page.getByLabel('Thng id').inputValue()
      assert.equal((await rest('GET', `/thngs/${id}`)).name, 'Dashboard example')
      await page.getByLabel('Be a sensor').uncheck()
      await button('Stop').click()
      await status('idle').getByText('Stopped').waitFor()
      assert.deepEqual(complaints, [])
    })

    test('does not write a thng that it was given before it is asked to', async () => {
      const { id } = await createThng()
      await open('app/', { key, thng: id })
      await status('connected').waitFor()
      assert.equal(await page.getByLabel('Be a sensor').isChecked(), false)
      assert.deepEqual(await rest('GET', `/thngs/${id}/properties`), [])
    })

    const place = (text) => page.locator('#place').getByText(text, { exact: true })
    const stored = async (id) => (await rest('GET', `/thngs/${id}/location`)).map((it) => [it.latitude, it.longitude])

    test('publishes a location by a click on the map and by the keyboard, and shows those of others', async () => {
      const { id } = await createThng()
      await open('app/', { key, thng: id })
      await status('connected').waitFor()
      const map = page.getByRole('application')
      const { width, height } = await map.boundingBox()
      await map.click({ position: { x: width / 4, y: height / 4 } })
      await page.locator('#place').getByText(/^4[45](\.\d)?° N, (89|90)(\.\d)?° W$/).waitFor()
      await rest('PUT', `/thngs/${id}/location`, [{ latitude: -10, longitude: 20.5 }])
      await place('10° S, 20.5° E').waitFor()
      await page.reload()
      await place('10° S, 20.5° E').waitFor()
      for (const pressed of ['ArrowUp', 'ArrowRight', 'Shift+ArrowRight', 'Enter']) await map.press(pressed)
      await place('5° N, 5.5° E').waitFor()
      assert.deepEqual((await stored(id)).slice(0, 2), [[5, 5.5], [-10, 20.5]])
      assert.deepEqual(complaints, [])
    })

    test('publishes where the device is, if the browser may tell', async () => {
      const { id } = await createThng()
      await browser.grantPermissions(['geolocation'])
      await browser.setGeolocation({ latitude: 47.4, longitude: 8.5 })
      try {
        await open('app/', { key, thng: id })
        await status('connected').waitFor()
        await button('Use this device’s location').click()
        await place('47.4° N, 8.5° E').waitFor()
        assert.deepEqual(await stored(id), [[47.4, 8.5]])
      } finally {
        await browser.clearPermissions()
      }
    })

    test('says so where the browser may not tell, and goes on', async () => {
      const { id } = await createThng()
      await open('app/', { key, thng: id })
      await status('connected').waitFor()
      await button('Use this device’s location').click()
      await page.getByText(/The browser gives no location .* Click on the map instead/).waitFor()
      assert.deepEqual(await stored(id), [])
    })

    test('creates an action, and lists it and those of others once each', async () => {
      const { id } = await createThng()
      await open('app/', { key, thng: id })
      await status('connected').waitFor()
      const listed = page.locator('#actions li')
      await page.getByLabel('Type').selectOption('checkins')
      await button('Create').click()
      await listed.getByText('checkins').waitFor()
      await rest('POST', `/thngs/${id}/actions/scans`, { customFields: { by: 'somebody else' } })
      await listed.getByText('somebody else').waitFor()
      assert.equal(await listed.count(), 2)
      const types = (await rest('GET', `/thngs/${id}/actions/all`)).map(({ type }) => type)
      assert.deepEqual(types, ['scans', 'checkins'])
      await page.reload()
      await listed.getByText('somebody else').waitFor()
      assert.equal(await listed.count(), 1, 'only the newest is there from the start')
      assert.deepEqual(complaints, [])
    })

    const pathOf = (socket) => new URL(socket.url()).pathname
    const topicsOf = (id) => ['actions/all', 'location', 'properties/temperature'].map((what) => `/thngs/${id}/${what}`)

    /** Chooses a transport, and waits until the page is connected over these WebSockets, and over no other. */
    async function switchTo(name, paths) {
      const before = [...sockets]
      const opened = paths.map((path) => page.waitForEvent('websocket', (socket) => pathOf(socket) === path))
      await page.getByLabel(name).check()
      await Promise.all([...opened, ...before.map((socket) => socket.isClosed() || socket.waitForEvent('close'))])
      await status('connected').waitFor()
      assert.deepEqual(sockets.slice(before.length).map(pathOf).sort(), paths)
    }

    /** Checks that the page shows what others write, and writes what the user asks for. */
    async function assertLive(id) {
      const property = `/thngs/${id}/properties/temperature`
      // What the page says itself comes back when all its subscriptions have been made again.
      await page.getByLabel('Publish a value').fill('20.5')
      await button('Publish').click()
      await value('20.5 °C').waitFor()
      await rest('PUT', property, [{ value: 19.5 }])
      await value('19.5 °C').waitFor()
      assert.deepEqual((await rest('GET', property)).slice(0, 2).map((it) => it.value), [19.5, 20.5])

      await rest('PUT', `/thngs/${id}/location`, [{ latitude: -10, longitude: 20.5 }])
      await place('10° S, 20.5° E').waitFor()
      for (const pressed of ['ArrowUp', 'Enter']) await page.getByRole('application').press(pressed)
      await page.locator('#place').getByText(/° N, 0°$/).waitFor()
      assert.deepEqual((await stored(id)).at(1), [-10, 20.5])

      const listed = page.locator('#actions li')
      const count = await listed.count()
      await rest('POST', `/thngs/${id}/actions/checkins`)
      await listed.nth(count).waitFor()
      await button('Create').click()
      await listed.nth(count + 1).waitFor()
      const types = (await rest('GET', `/thngs/${id}/actions/all`)).map(({ type }) => type)
      assert.deepEqual(types.slice(0, 2), ['scans', 'checkins'])
    }

    const draws = (count) => page.getByRole('img', { name: new RegExp(`: ${count} values`) }).waitFor()

    test('goes over the transport that it is switched to, and keeps what it has drawn and listed', async () => {
      const { id } = await createThng()
      await open('app/', { key, thng: id })
      await status('connected').waitFor()
      assert.deepEqual(sockets.map(pathOf), ['/mqtt'])
      await assertLive(id)
      await switchTo('WebSocket', topicsOf(id))
      await assertLive(id)
      await draws(4)
      await switchTo('MQTT', ['/mqtt'])
      await assertLive(id)
      await draws(6)
      assert.equal(await page.locator('#actions li').count(), 6)
      assert.deepEqual(complaints, [])
    })

    test('starts over the transport that its address says', async () => {
      const { id } = await createThng()
      await open('app/', { key, thng: id, transport: 'websocket' })
      await status('connected').waitFor()
      assert.deepEqual(sockets.map(pathOf).sort(), topicsOf(id))
      await assertLive(id)
      assert.deepEqual(complaints, [])
    })

    test('stays a sensor when it is switched', async () => {
      await open('app/', { key })
      await draws(2)
      const id = await page.getByLabel('Thng id').inputValue()
      await switchTo('WebSocket', topicsOf(id))
      await draws(4)
      assert.ok(await page.getByLabel('Be a sensor').isChecked())
      assert.deepEqual(complaints, [])
    })

    for (const transport of ['mqtt', 'websocket']) {
      test(`says that its connection by ${transport} is lost, and goes on when it is back`, async () => {
        const { id } = await createThng()
        await open('app/', { key, thng: id, transport }, line.address)
        await status('connected').waitFor()
        await assertLive(id)
        line.cut()
        await status('busy').getByText('Connection lost, trying again…').waitFor()
        line.mend()
        await status('connected').waitFor()
        await assertLive(id)
      })

      test(`says in words that the key or the thng is wrong, by ${transport}, and can be started again`, async () => {
        const { id } = await createThng()
        for (const [parameters, words] of [
          [{ key: WRONG_KEY, thng: id }, /API key/],
          [{ key: WRONG_KEY }, /API key/],
          [{ key, thng: 'U00000000000000000000000' }, /not found/]
        ]) {
          await open('app/', { ...parameters, transport })
          await status('error').getByText(words).waitFor()
          await page.getByLabel('Operator API key').fill(key)
          await page.getByLabel('Thng id').fill(id)
          await button('Start').click()
          await status('connected').waitFor()
          await page.close()
        }
      })
    }
  })

  for (const name of PAGES.filter(Boolean)) {
    test(`/examples/${name} keeps its thng over a reload, and no key in its address`, async () => {
      const thngs = async () => (await rest('GET', '/thngs?perPage=100')).length
      const before = await thngs()
      await open(name, { key })
      for (const round of [1, 2, 3]) {
        if (round > 1) await page.reload()
        await status('connected').waitFor()
        assert.ok(!page.url().includes(key), page.url())
        const [{ id }] = await rest('GET', '/thngs?perPage=1')
        assert.ok(page.url().endsWith(`#thng=${id}`), page.url())
      }
      assert.equal(await thngs(), before + 1)
    })
  }

  describe('with a key that the tab has stored', () => {
    /** Opens a page in the tab that has the key, and records the hosts that it connects to from then on. */
    async function openAgain(name, query) {
      const hosts = new Set()
      page.on('request', (request) => hosts.add(new URL(request.url()).host))
      page.on('websocket', (socket) => hosts.add(new URL(socket.url()).host))
      await page.goto('about:blank')
      await page.goto(`${url}/examples/${name}?${new URLSearchParams(query)}`, { waitUntil: 'load' })
      hosts.delete('')
      return hosts
    }

    for (const name of ['sdk/', 'websocket/', 'paho/']) {
      test(`/examples/${name} gives it to no server of another origin`, async () => {
        const { id } = await createThng()
        await open(name, { key, thng: id })
        await status('connected').waitFor()
        for (const query of [{}, { thng: id }, { property: 'temperature' }]) {
          const hosts = await openAgain(name, { server: line.address, ...query })
          assert.equal(await page.getByLabel('Operator API key').inputValue(), '')
          await status('idle').waitFor()
          assert.deepEqual([...hosts], [new URL(url).host])
        }
      })

      test(`/examples/${name} takes a server without // for a path of its own`, async () => {
        const { id } = await createThng()
        await open(name, { key, thng: id })
        await status('connected').waitFor()
        const hosts = await openAgain(name, { server: line.address.replace('//', ''), thng: id })
        await status('connected').waitFor()
        assert.deepEqual([...hosts], [new URL(url).host])
      })
    }

    for (const name of PAGES.filter(Boolean)) {
      test(`/examples/${name} starts with it at a click only`, async () => {
        await open(name, { key })
        await status('connected').waitFor()
        await openAgain(name, {})
        await status('idle').waitFor()
        await button('Start').click()
        await status('connected').waitFor()
      })
    }

    test('the pages of examples and /docs do not share it', async () => {
      await open('sdk/', { key })
      await status('connected').waitFor()
      await page.goto(`${url}/docs`)
      await page.locator('#page-key-status').getByText('Try it').waitFor()
      assert.equal(await page.locator('#page-key-input').inputValue(), '')
    })
  })

  test('/examples/ takes the key out of its address and passes it on', async () => {
    await open('', { key })
    assert.ok(!page.url().includes(key), page.url())
    await page.getByRole('link', { name: 'Native WebSocket' }).click()
    await status('connected').waitFor()
    assert.ok(!page.url().includes(key), page.url())
  })

  for (const name of PAGES) {
    const isReady = () => name === '' || page.locator('#value').getByText(/\d/).waitFor()

    test(`/examples/${name} fits a phone and a desktop`, async () => {
      await open(name, { key })
      await isReady()
      for (const size of [PHONE, DESKTOP]) {
        await resizeToFit(page, size)
        assert.deepEqual(await page.evaluate(cutOff), [], `cut off on a screen of ${size.width}`)
      }
      assert.deepEqual(complaints, [])
    })

    test(`/examples/${name} can be read, in light and in dark`, async () => {
      await open(name, { key })
      await isReady()
      const grounds = new Set()
      for (const colorScheme of ['light', 'dark']) {
        await page.emulateMedia({ colorScheme })
        grounds.add(await page.evaluate(() => getComputedStyle(document.body).backgroundColor))
        assert.deepEqual(await page.evaluate(hardToRead), [], colorScheme)
      }
      assert.equal(grounds.size, 2)
    })

    test(`/examples/${name} names every control`, async () => {
      await open(name)
      const nameless = await page.locator('input, select, button, a, [tabindex]').evaluateAll((controls) =>
        controls
          .filter((it) => !it.labels?.length && !it.ariaLabel && !it.hasAttribute('aria-labelledby') && !it.textContent.trim())
          .map((it) => it.outerHTML)
      )
      assert.deepEqual(nameless, [])
    })

    test(`/examples/${name} loads nothing from elsewhere`, async () => {
      const hosts = new Set()
      await open(name)
      page.on('request', (request) => hosts.add(new URL(request.url()).host))
      page.on('websocket', (socket) => hosts.add(new URL(socket.url()).host))
      await page.goto('about:blank')
      await page.goto(address(name, { key }))
      await isReady()
      hosts.delete('')
      assert.deepEqual([...hosts], [new URL(url).host])
    })
  }
})

/** In a page: what has text that does not fit into it, unless it scrolls. */
function cutOff() {
  const all = [...document.querySelectorAll('main *:not(svg *, .uplot, .uplot *)')].filter((it) => it.checkVisibility())
  const scrolls = (it) => ['auto', 'scroll'].includes(getComputedStyle(it).overflowX) || it.matches('input, select')
  const isCutOff = (it) => it.clientWidth > 0 && it.scrollWidth > it.clientWidth + 1 && !scrolls(it)
  return all.filter(isCutOff).map((it) => it.outerHTML)
}

/** In a page: texts whose contrast with their ground is below 4.5, which is what WCAG asks for (1.4.3, level AA). */
function hardToRead() {
  const context = document.createElement('canvas').getContext('2d', { willReadFrequently: true })
  const luminance = (colour) => {
    context.clearRect(0, 0, 1, 1)
    context.fillStyle = colour
    context.fillRect(0, 0, 1, 1)
    const [r, g, b] = [...context.getImageData(0, 0, 1, 1).data].map((it) => {
      const share = it / 255
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4
    })
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const groundOf = (it) => {
    const { backgroundColor } = getComputedStyle(it)
    return backgroundColor === 'rgba(0, 0, 0, 0)' ? groundOf(it.parentElement) : backgroundColor
  }
  const hasText = (it) => [...it.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim())
  return [...document.querySelectorAll('body *')]
    .filter((it) => it.checkVisibility() && !it.closest('svg') && (hasText(it) || it.matches('input')))
    .map((it) => {
      const both = [luminance(getComputedStyle(it).color), luminance(groundOf(it))]
      return { contrast: (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05), html: it.outerHTML.slice(0, 200) }
    })
    .filter(({ contrast }) => contrast < 4.5)
}

/** What the programs are started with, as the list of examples says. */
const environment = {
  HTTP: new URL(url).host,
  KEY: key,
  ...(process.env.THNG_PUBSUB_TEST_MQTT && { MQTT: process.env.THNG_PUBSUB_TEST_MQTT })
}

/** Runs an example to its end, for which it has a minute. */
function run(program, file, variables) {
  const path = fileURLToPath(new URL(`../../examples-web/${file}`, import.meta.url))
  const env = { ...process.env, ...environment, ...variables }
  return new Promise((resolve, reject) => {
    execFile(program, [path], { env, timeout: 60_000, killSignal: 'SIGKILL' }, (error, stdout, stderr) => {
      if (error?.killed) reject(new Error(`it did not end within a minute: ${stdout}${stderr}`))
      else resolve({ code: error ? error.code : 0, stdout, stderr })
    })
  })
}

/** The values in the order in which they were written. */
const history = async (id) => (await rest('GET', `/thngs/${id}/properties/temperature`)).map(({ value }) => value).reverse()

/** The values in lines with a list of updates. */
const printed = (stdout) => [...stdout.matchAll(/"value":([\d.]+),"timestamp"/g)].map(([, value]) => Number(value))

const hasMosquitto = spawnSync('mosquitto_sub', ['--help']).error === undefined

for (const [program, file, skip] of [
  [process.execPath, 'node/sdk.js'],
  [process.execPath, 'node/mqtt.js'],
  [process.execPath, 'node/ws.js'],
  ['sh', 'shell/mosquitto.sh', !hasMosquitto && "Mosquitto's clients are not installed"]
]) {
  describe(file, { skip }, () => {
    test('prints what it has published, as the server has stored it, and ends', async () => {
      const { id } = await createThng()
      const { code, stdout, stderr } = await run(program, file, { THNG: id })
      assert.deepEqual([code, stderr], [0, ''])
      const values = printed(stdout)
      assert.ok(values.length >= 3, stdout)
      assert.deepEqual(values, await history(id))
    })

    test('makes a thng where none is given', async () => {
      const { code, stdout, stderr } = await run(program, file)
      assert.equal(code, 0, stderr)
      assert.ok(printed(stdout).length >= 3, stdout)
    })

    test('ends and says why when the key is wrong, with a thng and without', async () => {
      const { id } = await createThng()
      for (const THNG of [id, '']) {
        const { code, stdout, stderr } = await run(program, file, { KEY: WRONG_KEY, THNG })
        assert.notEqual(code, 0)
        assert.match(stderr, /key|authori[sz]ed|403/i)
        assert.deepEqual(printed(stdout), [])
      }
      assert.deepEqual(await history(id), [])
    })

    test('says what it needs when it is given nothing', async () => {
      const { code, stderr } = await run(program, file, { KEY: '' })
      assert.notEqual(code, 0)
      assert.match(stderr, /Set KEY to an operator API key/)
    })
  })
}

describe('shell/rest.sh', () => {
  test('writes a property, and reads it and its history back', async () => {
    const { id } = await createThng()
    const { code, stdout, stderr } = await run('sh', 'shell/rest.sh', { THNG: id })
    assert.deepEqual([code, stderr], [0, ''])
    const values = await history(id)
    assert.deepEqual(values, [37.2, 37.5, 37.8])
    assert.deepEqual(printed(stdout), [...values, values.at(-1), ...values.toReversed()])
  })

  test('shows what the server says when it refuses, and fails', async () => {
    const { code, stdout, stderr } = await run('sh', 'shell/rest.sh', { KEY: WRONG_KEY })
    assert.notEqual(code, 0)
    assert.match(stdout + stderr, /The API key is not valid/)
  })
})
