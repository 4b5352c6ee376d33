// The page at `/docs`, as a reader uses it: each “Try it” is sent with the body that the page has filled in.

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'

import { chromium } from 'playwright-core'

import { launch } from './launch.mjs'

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

describe('the page at /docs', () => {
  let server, url, key, profile, browser, page, api

  before(async () => {
    // An account of its own: what is created here has names that are taken once.
    server = await launch()
    url = server.environment.THNG_PUBSUB_TEST_URL
    key = server.environment.THNG_PUBSUB_TEST_KEY
    profile = await mkdtemp(join(tmpdir(), 'thng-pubsub-chromium-'))
    browser = await chromium.launchPersistentContext(profile, { executablePath, headless: true, args: ARGUMENTS })
    browser.setDefaultTimeout(20_000)
    page = await browser.newPage()
    api = await (await fetch(`${url}/openapi.json`)).json()
  })

  after(async () => {
    await browser?.close()
    await server?.stop()
    await rm(profile, { recursive: true, force: true })
  })

  const rest = async (method, path, body, authorization = key) => {
    const headers = { authorization, 'content-type': 'application/json' }
    const answer = await fetch(url + path, { method, headers, body: body && JSON.stringify(body) })
    const text = await answer.text()
    assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${text}`)
    return text && JSON.parse(text)
  }

  /** Sends an operation from the page: its state, the body that was sent, and the answer. */
  async function send(id, fields, asKey = key) {
    await page.fill('#page-key-input', asKey)
    const entry = page.locator(`details#${id}`)
    await entry.evaluate(node => {
      node.hidden = false
      for (const one of [node, ...node.querySelectorAll('details.try')]) one.open = false
    })
    await entry.locator(':scope > summary').click()
    const form = entry.locator('details.try')
    await form.locator(':scope > summary').click()
    for (const [name, value] of Object.entries(fields)) await form.locator(`[name="${name}"]`).fill(value ?? 'none')
    const area = form.locator('textarea')
    await form.locator('button[type=submit]').click()
    const state = form.locator('.state')
    await state.filter({ hasText: /^\d{3} / }).waitFor()
    return {
      state: await state.textContent(),
      sent: await area.inputValue(),
      answer: await form.locator('.result').textContent()
    }
  }

  test('every body is taken as it is filled in', async () => {
    await page.goto(`${url}/docs`)
    await page.locator('#page-operations details').first().waitFor()

    const account = (await rest('GET', '/accounts'))[0].id
    const access = (await rest('GET', `/accounts/${account}/accesses`))[0].id
    const operator = (await rest('GET', '/access')).actor.id
    const project = (await rest('POST', '/projects', { name: 'Project of the test' })).id
    const application = await rest('POST', `/projects/${project}/applications`, { name: 'Application of the test', socialNetworks: {} })
    const secret = (await rest('GET', `/projects/${project}/applications/${application.id}/secretKey`)).secretApiKey
    const of = async (path, body) => (await rest('POST', path, body)).id
    const policy = await of('/accessPolicies', { name: 'policy', permissions: [] })
    const ids = {
      accessPolicies: policy,
      accessTokens: await of('/accessTokens', { name: 'token', policies: [policy], conditions: [] }),
      batches: await of('/batches', { name: 'batch' }),
      collections: await of('/collections', { name: 'collection' }),
      places: await of('/places', { name: 'place' }),
      products: await of('/products', { name: 'product' }),
      projects: project,
      roles: await of('/roles', { name: 'role', type: 'userInApp', version: 2 }),
      thngs: await of('/thngs', { name: 'thng' }),
      users: undefined,
      operators: operator,
      accounts: account
    }
    const operatorRole = await of('/roles', { name: 'role of operators' })
    await rest('POST', '/actionTypes', { name: '_Own' })
    // The newest collection is what another one is filled with.
    await of('/collections', { name: 'inner' })

    const refused = []
    const operations = Object.entries(api.paths).flatMap(([path, item]) =>
      Object.entries(item).filter(([, one]) => one.requestBody).map(([method, one]) => ({ path, method, ...one })))
    assert.ok(operations.length > 50)
    // What is made first: users, who log in once they are validated.
    const rank = ({ path }) => ['/auth/evrythng/users', '/auth/evrythng/users/{id}/validate'].indexOf(path)
    operations.sort((a, b) => (rank(b) >= 0) - (rank(a) >= 0) || rank(a) - rank(b))
    for (const { path, method, operationId, parameters } of operations) {
      const fields = {}
      const noun = path.split('/')[1]
      for (const { name, in: place } of parameters) {
        if (place !== 'path') continue
        fields[`path ${name}`] = {
          account, project, key: 'temperature', type: '_Own', name: 'project_read'
        }[name] ?? (/permissions.{name}/.test(path) ? operatorRole : /accesses|operatorAccess/.test(path) ? access : /applications/.test(path) ? application.id : ids[noun === 'auth' ? 'users' : noun])
      }
      // Changes of many say which.
      if (method === 'put' && /^\/\w+$/.test(path) && ids[noun]) fields['query ids'] = ids[noun]
      const asKey = /applications\/me|auth\/evrythng\/users|users\/login|auth\/evrythng$/.test(path)
        ? path.includes('me') ? secret : application.appApiKey
        : key
      const { state, sent, answer } = await send(operationId, fields, asKey)
      if (!/^2/.test(state)) refused.push(`${method} ${path} ${JSON.stringify(fields)}: ${sent.replace(/\s+/g, ' ')}\n  ${state} ${answer}`)
      else if (path === '/auth/evrythng/users') ids.users = /"evrythngUser": "(\w+)"/.exec(answer)[1]
    }
    assert.equal(refused.length, 0, `\n${refused.join('\n')}`)
  })

  test('a property\'s key is not called like the API key', async () => {
    await page.goto(`${url}/docs`)
    await page.locator('#page-operations details').first().waitFor()
    await page.locator('#page-toggle').click()
    const snippets = await page.locator('.curl code').allTextContents()
    assert.ok(snippets.length > 100)
    assert.ok(snippets.some(text => text.includes('/properties/$PROPERTY_KEY"')))
    assert.ok(snippets.some(text => text.includes('/properties/${propertyKey}')))
    assert.deepEqual(snippets.filter(text => /\$\{?key\b/i.test(text)), [])
  })

  test('a refusal leads to its explanation by an absolute link', async () => {
    const { errors, moreInfo } = await (await fetch(`${url}/nothing`)).json()
    assert.equal(errors.length, 1)
    assert.ok(moreInfo.startsWith(`${url}/docs/errors#`), moreInfo)
    assert.equal((await page.goto(moreInfo)).status(), 200)
  })
})
