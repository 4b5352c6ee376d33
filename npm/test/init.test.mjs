/**
 * Where the WebAssembly module comes from: given to the slim entry, and compiled ahead in the others. In a browser,
 * against our own server.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

import { roundTrip } from './apps/round-trip.js'
import { launch } from './chromium.mjs'
import { project } from './project.mjs'
import { createThng, key, url } from './server.mjs'
import { serve } from './site.mjs'

const user = await project('init')
const dist = join(user.folder, 'node_modules/thng-pubsub/dist')
const apps = fileURLToPath(new URL('apps', import.meta.url))
const FILES = { '/index.html': join(apps, 'empty.html'), '/round-trip.js': join(apps, 'round-trip.js') }

let policy
const site = await serve(
  (path) => FILES[path] ?? join(dist, path),
  () => (policy ? { 'content-security-policy': policy } : {})
)
const browser = await launch()
const { id } = await createThng()

const about = { apiUrl: url, key, path: `/thngs/${id}/properties/p`, value: 5 }

const page = await openPage()
let entries = 0

async function openPage() {
  const page = await browser.newPage()
  await page.goto(site)
  return page
}

/** Runs a function in the page, with an entry that is loaded afresh and a function that makes a round trip with it. */
function inPage(entry, act, given) {
  return page.evaluate(
    async ([entry, source, about, given]) => {
      const { default: PubSub } = await import(entry)
      const { roundTrip } = await import('/round-trip.js')
      const attempt = (promise) => promise.catch(({ code, message }) => ({ code, message }))
      return eval(source)({ PubSub, attempt, roundTrip: () => attempt(roundTrip(PubSub, about)), given })
    },
    [`${entry}?${++entries}`, `(${act})`, about, given]
  )
}

const WAYS = {
  'its address': () => '/pubsub.wasm',
  'its URL': () => new URL('/pubsub.wasm', location.href),
  'the promise of a response': () => fetch('/pubsub.wasm'),
  'its bytes': async () => (await fetch('/pubsub.wasm')).arrayBuffer(),
  'a view of its bytes': async () => new Uint8Array(await (await fetch('/pubsub.wasm')).arrayBuffer()),
  'a blob': async () => (await fetch('/pubsub.wasm')).blob(),
  'a response of another type': async () => new Response(await (await fetch('/pubsub.wasm')).arrayBuffer()),
  'the module': () => WebAssembly.compileStreaming(fetch('/pubsub.wasm'))
}

for (const [name, way] of Object.entries(WAYS)) {
  test(`the slim entry works with ${name}`, async () => {
    const act = async ({ PubSub, attempt, roundTrip, given }) => [await attempt(PubSub.init(eval(given)())), await roundTrip()]
    assert.deepEqual(await inPage('/slim.mjs', act, `(${way})`), [undefined, 5])
  })
}

test('before that, calls of the slim entry reject, and afterwards they work', async () => {
  const [before, after] = await inPage('/slim.mjs', async ({ PubSub, roundTrip }) => {
    const before = await roundTrip()
    await PubSub.init('/pubsub.wasm')
    return [before, await roundTrip()]
  })
  assert.equal(before.code, 'NO_MODULE')
  assert.match(before.message, /init\(\)/)
  assert.equal(after, 5)
})

const MISTAKES = {
  'nothing': [undefined, /init\(\) has not been called/],
  'an address where there is nothing': ['/absent.wasm', /absent\.wasm has the status 404/],
  'an address where nobody is': ['http://127.0.0.1:1/pubsub.wasm', /127\.0\.0\.1:1\/pubsub\.wasm cannot be loaded/],
  'a page': ['/index.html', /no WebAssembly/],
  'another module': [[0, 97, 115, 109, 1, 0, 0, 0], /another version/],
  'a number': [5, /no WebAssembly/]
}

for (const [name, [given, message]] of Object.entries(MISTAKES)) {
  test(`init() says what is wrong with ${name}, and can be called again`, async () => {
    const act = async ({ PubSub, attempt, roundTrip, given }) => {
      const failed = await attempt(PubSub.init(Array.isArray(given) ? Uint8Array.from(given) : given))
      await PubSub.init('/pubsub.wasm')
      return [failed, await roundTrip()]
    }
    const [failed, after] = await inPage('/slim.mjs', act, given)
    assert.equal(failed.code, 'NO_MODULE')
    assert.match(failed.message, message)
    assert.equal(after, 5)
  })
}

test('init() says so when the policy forbids WebAssembly', async (t) => {
  policy = `default-src 'self'; script-src 'self'`
  t.after(() => (policy = undefined))
  const code = await (await openPage()).evaluate(async () => {
    const { init } = await import('/browser.mjs')
    return init().catch(({ code }) => code)
  })
  assert.equal(code, 'WASM_BLOCKED')
})

test('init() is the way in where a page may not compile at once', async () => {
  const seen = await inPage('/browser.mjs', async ({ PubSub, roundTrip }) => {
    // Chrome before 114 did nothing at once with more than 4 KB. There is none of it here.
    const { Module, Instance } = WebAssembly
    const construct = () => {
      throw new RangeError('disallowed on the main thread, if the buffer size is larger than 4KB')
    }
    WebAssembly.Module = new Proxy(Module, { construct })
    WebAssembly.Instance = new Proxy(Instance, { construct })
    const before = await roundTrip()
    await PubSub.init()
    const after = await roundTrip()
    Object.assign(WebAssembly, { Module, Instance })
    return [before.code, after]
  })
  assert.deepEqual(seen, ['WASM_BLOCKED', 5])
})

test('a frame that has no address of its own can use it while it is loaded', async () => {
  const start = `${roundTrip}\nroundTrip(PubSub, ${JSON.stringify(about)}).then(parent.show, parent.show)`
  const value = await (await openPage()).evaluate((start) => {
    const frame = document.createElement('iframe')
    frame.srcdoc = `<script src="/pubsub.js"></script><script>${start}</script>`
    document.body.append(frame)
    return new Promise((resolve) => (globalThis.show = resolve))
  }, start)
  assert.equal(value, 5)
})

test('calls do not have to wait for init()', async () => {
  const seen = await inPage('/browser.mjs', async ({ PubSub, attempt, roundTrip }) => {
    const twice = [PubSub.init(), PubSub.init()]
    const value = await roundTrip()
    return [value, ...(await Promise.all(twice.map(attempt))), await roundTrip()]
  })
  assert.deepEqual(seen, [5, undefined, undefined, 5])
})
