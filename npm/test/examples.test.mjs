/**
 * The examples in a browser, without the app. What a page shows is compared with what the server has stored.
 */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'

import { PAGES, WRONG_KEY, address, button, complaints, line, open, page, row, status } from './examples-page.mjs'
import { createThng, key, rest, url } from './server.mjs'

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
