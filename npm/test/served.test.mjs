/**
 * The SDK as the server serves it: under a versioned and a stable name, to pages of other origins, and with the hash of
 * the README.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

import { launch } from './chromium.mjs'
import { project } from './project.mjs'
import { url } from './server.mjs'
import { serve } from './site.mjs'

const user = await project('served')
const folder = join(user.folder, 'node_modules/thng-pubsub')
const { version } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'))
const readme = await readFile(join(folder, 'README.md'), 'utf8')
const [integrity] = readme.match(/sha384-[A-Za-z0-9+/]{64}/) ?? []
/** What was built beside the package. A bundler would change what the served modules ask for their own address. */
const built = fileURLToPath(new URL('../dist/', import.meta.url))
const FILES = {
  'thng-pubsub.js': [join(folder, 'dist/pubsub.js'), 'text/javascript; charset=utf-8'],
  'thng-pubsub.mjs': [join(built, 'served.mjs'), 'text/javascript; charset=utf-8'],
  'thng-pubsub.slim.mjs': [join(built, 'served.slim.mjs'), 'text/javascript; charset=utf-8'],
  'thng-pubsub.wasm': [join(folder, 'dist/pubsub.wasm'), 'application/wasm'],
  'mqttws31.js': [join(built, 'mqttws31.js'), 'text/javascript; charset=utf-8'],
  'mqttws31.LICENSE.txt': [join(built, 'mqttws31.LICENSE.txt'), 'text/plain; charset=utf-8'],
  'evrythng.js': [join(built, 'evrythng.js'), 'text/javascript; charset=utf-8']
}
const elsewhere = await serve(() => join(user.folder, 'page.html'))
const browser = await launch()

const answer = async (path, headers = {}) => {
  const response = await fetch(url + path, { headers })
  const { status } = response
  const header = Object.fromEntries(response.headers)
  return { status, header, bytes: Buffer.from(await response.arrayBuffer()) }
}

for (const [name, [file, type]] of Object.entries(FILES)) {
  test(`${name} is the one that was built, by its version and by its name`, async () => {
    const packed = await readFile(file)
    const named = await answer(`/sdk/${name}`)
    const pinned = await answer(`/sdk/${version}/${name}`)
    for (const { status, header, bytes } of [named, pinned]) {
      assert.equal(status, 200)
      assert.equal(header['content-type'], type)
      assert.equal(header['access-control-allow-origin'], '*')
      assert.equal(header['content-encoding'], 'gzip')
      assert.ok(bytes.equals(packed), 'the bytes are those that were built')
    }
    assert.equal(named.header['cache-control'], 'no-cache')
    assert.equal(pinned.header['cache-control'], 'public, max-age=31536000, immutable')
    const plain = await answer(`/sdk/${name}`, { 'accept-encoding': 'identity' })
    assert.equal(plain.header['content-encoding'], undefined)
    assert.ok(plain.bytes.equals(packed))
  })
}

test('a copy that is still good is not sent again', async () => {
  const { header } = await answer('/sdk/thng-pubsub.js')
  const again = await answer('/sdk/thng-pubsub.js', { 'if-none-match': header.etag })
  assert.deepEqual([again.status, again.bytes.length], [304, 0])
  assert.equal((await answer('/sdk/thng-pubsub.js', { 'if-none-match': '"another"' })).status, 200)
})

test('another version is not there', async () => {
  assert.equal((await answer('/sdk/0.0.0/thng-pubsub.js')).status, 404)
})

test('the README and the page of the server say the hash of the script', async () => {
  const script = await readFile(join(folder, 'dist/pubsub.js'))
  assert.equal(integrity, `sha384-${createHash('sha384').update(script).digest('base64')}`)
  const page = await answer('/sdk/')
  assert.equal(page.status, 200)
  const text = page.bytes.toString()
  for (const name of Object.keys(FILES)) assert.ok(text.includes(`href="${name}"`), name)
  assert.ok(text.includes(`integrity="${integrity}"`))
})

/** What a page of another origin has after it loaded the script with this hash. */
async function loaded(hash) {
  const tag = `<script src="${url}/sdk/${version}/thng-pubsub.js" crossorigin="anonymous" integrity="${hash}"></script>`
  await writeFile(join(user.folder, 'page.html'), tag)
  const page = await browser.newPage()
  await page.goto(`${elsewhere}/`)
  const type = await page.evaluate(() => typeof globalThis.PubSub?.Operator)
  await page.close()
  return type
}

test('a page of another origin loads it with the hash, and not with another', async () => {
  assert.equal(await loaded(integrity), 'function')
  assert.equal(await loaded(`sha384-${'A'.repeat(64)}`), 'undefined')
})

test('the module and the slim module run from the server, in a page', async () => {
  const page = await browser.newPage()
  await page.goto(`${url}/sdk/`)
  const seen = await page.evaluate(async (version) => {
    const whole = await import(`/sdk/${version}/thng-pubsub.mjs`)
    const slim = await import(`/sdk/${version}/thng-pubsub.slim.mjs`)
    await slim.init(`/sdk/${version}/thng-pubsub.wasm`)
    return [typeof whole.Operator, typeof slim.default.Operator]
  }, version)
  assert.deepEqual(seen, ['function', 'function'])
  await page.close()
})
