/**
 * The app among the examples, in a browser. What it shows is compared with what the server has stored.
 */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'

import { WRONG_KEY, browser, button, complaints, line, open, page, sockets, status } from './examples-page.mjs'
import { createThng, key, rest } from './server.mjs'

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
    await rest('POST', `/thngs/${id}/actions/scans`, { customFields: { by: 'another client' } })
    await listed.getByText('another client').waitFor()
    assert.equal(await listed.count(), 2)
    const types = (await rest('GET', `/thngs/${id}/actions/all`)).map(({ type }) => type)
    assert.deepEqual(types, ['scans', 'checkins'])
    await page.reload()
    await listed.getByText('another client').waitFor()
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
