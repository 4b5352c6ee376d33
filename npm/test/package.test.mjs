/**
 * The package as npm installs it: what its entries give, what its types say, how large it is.
 */
import assert from 'node:assert/strict'
import { readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'

import { project } from './project.mjs'

/** In KiB after gzip, each entry with everything inside. */
const LIMITS = { 'pubsub.js': 64, 'browser.mjs': 45, 'browser.cjs': 45 }

const API = ['PubSubError', 'close', 'install', 'off', 'on', 'settings', 'setup']

const user = await project('package')

async function node(name, source) {
  await writeFile(join(user.folder, name), source)
  const { code, stdout, stderr } = await user.run(process.execPath, [name])
  assert.equal(code, 0, stderr)
  return JSON.parse(stdout)
}

test('require gives the plugin itself', async () => {
  const names = await node('require.cjs', `console.log(JSON.stringify(Object.keys(require('thng-pubsub')).sort()))`)
  assert.deepEqual(names, ['$inject', ...API])
})

test('import gives the plugin as default and by name', async () => {
  const names = await node(
    'import.mjs',
    `import * as all from 'thng-pubsub'; console.log(JSON.stringify(Object.keys(all).sort()))`
  )
  assert.deepEqual(names, [...API, 'default'].sort())
})

test('require and import share one instance', async () => {
  const shared = await node(
    'shared.mjs',
    `import { createRequire } from 'node:module'
     import imported, { settings } from 'thng-pubsub'
     const required = createRequire(import.meta.url)('thng-pubsub')
     required.setup({ keepAlive: 7 })
     console.log(JSON.stringify([imported === required, settings.keepAlive]))`
  )
  assert.deepEqual(shared, [true, 7])
})

test('the browser entries set up without a network and without compiling anything', async () => {
  const dist = join(user.folder, 'node_modules/thng-pubsub/dist')
  const seen = await node(
    'browser.mjs',
    `import { readFileSync } from 'node:fs'
     import { createRequire } from 'node:module'
     WebAssembly.Module = function () { throw new Error('compiled too early') }
     const esm = await import(${JSON.stringify(join(dist, 'browser.mjs'))})
     const cjs = createRequire(import.meta.url)(${JSON.stringify(join(dist, 'browser.cjs'))})
     ;(0, eval)(readFileSync(${JSON.stringify(join(dist, 'pubsub.js'))}, 'utf8'))
     console.log(JSON.stringify([esm.default, cjs, globalThis.PubSub].map((it) => typeof it.install)))`
  )
  assert.deepEqual(seen, ['function', 'function', 'function'])
})

test('what is packed is what is needed', async () => {
  const lock = JSON.parse(await readFile(join(user.folder, 'node_modules/.package-lock.json'), 'utf8'))
  assert.deepEqual(Object.keys(lock.packages).sort(), ['node_modules/thng-pubsub', 'node_modules/ws'])
  const manifest = JSON.parse(await readFile(join(user.folder, 'node_modules/thng-pubsub/package.json'), 'utf8'))
  const files = await readdir(join(user.folder, 'node_modules/thng-pubsub'), { recursive: true })
  assert.deepEqual(files.filter((name) => name !== 'dist' && !/^LICENSE/.test(name)).sort(), [
    'README.md',
    'dist/browser.cjs',
    'dist/browser.mjs',
    'dist/global.d.ts',
    'dist/index.d.cts',
    'dist/index.d.mts',
    'dist/node.cjs',
    'dist/node.mjs',
    'dist/pubsub.js',
    'package.json'
  ])
  for (const path of targets(manifest.exports)) await readFile(join(user.folder, 'node_modules/thng-pubsub', path))
})

/** Every file that an export map names. */
function targets(exports) {
  return typeof exports === 'string' ? [exports] : Object.values(exports).flatMap(targets)
}

test('the entries are within their size', async (t) => {
  for (const [name, limit] of Object.entries(LIMITS)) {
    const bytes = await readFile(join(user.folder, 'node_modules/thng-pubsub/dist', name))
    const size = gzipSync(bytes, { level: 9 }).length
    t.diagnostic(`${name}: ${bytes.length} bytes, ${size} after gzip`)
    assert.ok(size <= limit * 1024, `${name} is ${size} bytes after gzip; the limit is ${limit} KiB`)
    assert.ok(/^[\x20-\x7e\n]*$/.test(bytes.toString('latin1')), `${name} has characters that a charset could change`)
  }
})

test('every code of the error table is documented and typed', async () => {
  const folder = join(user.folder, 'node_modules/thng-pubsub')
  const table = await readFile(new URL('../src/errors.js', import.meta.url), 'utf8')
  const codes = [...table.matchAll(/^ {2}([A-Z_]+): \(/gm)].map(([, code]) => code)
  assert.ok(codes.length > 20, 'the table was found')
  const readme = await readFile(join(folder, 'README.md'), 'utf8')
  const types = await readFile(join(folder, 'dist/index.d.cts'), 'utf8')
  for (const code of codes) {
    assert.ok(readme.includes(`\`${code}\``), `README.md does not say what ${code} is`)
    assert.ok(types.includes(`| '${code}'`), `index.d.cts does not have ${code}`)
  }
  const typed = [...types.matchAll(/^ {4}\| '([A-Z_]+)'/gm)].map(([, code]) => code)
  assert.deepEqual(typed.sort(), codes.sort())
})

const USE = `
const update = (message: PubSub.PropertyUpdate<number>[]) => message[0].value.toFixed(1)
declare const property: PubSub.Resource<PubSub.PropertyUpdate<number>[]>

export async function use(): Promise<void> {
  PubSub.setup({ apiUrl: 'ws://127.0.0.1/mqtt', keepAlive: 50 })
  await property.subscribe((message) => update(message), { pubStates: true, qos: 1 })
  await property.publish(5, { qos: 1, authorization: 'key' })
  await property.unsubscribe()
  PubSub.on('disconnected', ({ error, retryInMs }) => {
    const code: PubSub.ErrorCode = error.code
    const delay: number | undefined = retryInMs
    console.log(code, delay, error instanceof PubSub.PubSubError)
  })
  // @ts-expect-error: there is no such event
  PubSub.on('connect', () => {})
  // @ts-expect-error: it is a number
  PubSub.setup({ keepAlive: '50' })
  // @ts-expect-error: there is no QoS 2
  await property.publish(5, { qos: 2 })
  await PubSub.close()
}
`

const TYPES = [
  ['bundler.ts', `import PubSub from 'thng-pubsub'\n`, { module: 'esnext', moduleResolution: 'bundler' }],
  ['node16.cts', `import PubSub = require('thng-pubsub')\n`, { module: 'node16', moduleResolution: 'node16' }],
  ['node16.mts', `import PubSub from 'thng-pubsub'\n`, { module: 'node16', moduleResolution: 'node16' }],
  ['nodenext.cts', `import PubSub = require('thng-pubsub')\n`, { module: 'nodenext', moduleResolution: 'nodenext' }],
  ['nodenext.mts', `import PubSub from 'thng-pubsub'\n`, { module: 'nodenext', moduleResolution: 'nodenext' }]
]

/** Compiles a file of the project strictly, without running it. */
async function compile(name, source, options) {
  await writeFile(join(user.folder, name), source)
  const compilerOptions = { strict: true, noEmit: true, target: 'es2022', types: [], ...options }
  const config = `tsconfig.${name}.json`
  await writeFile(join(user.folder, config), JSON.stringify({ compilerOptions, files: [name] }))
  const { code, stdout } = await user.run(process.execPath, ['node_modules/typescript/bin/tsc', '-p', config])
  assert.equal(code, 0, stdout)
}

for (const [name, header, options] of TYPES) {
  test(`the types compile and refuse what is wrong: ${name}`, () => compile(name, header + USE, options))
}

test('the types of the global variable compile', () =>
  compile(
    'global.mts',
    `import type {} from 'thng-pubsub/global'
     PubSub.setup({ keepAlive: 50 })
     // @ts-expect-error: it is a number
     PubSub.setup({ keepAlive: '' })
    `,
    { module: 'nodenext', moduleResolution: 'nodenext' }
  ))

test('names can be imported as types from the ES module', () =>
  compile(
    'names.mts',
    `import { setup, PubSubError, type Settings, type ErrorCode } from 'thng-pubsub'
     const changed: Settings = setup({ queueLimit: 5 })
     export const codeOf = (error: unknown): ErrorCode | undefined => error instanceof PubSubError ? error.code : undefined
     export default changed
    `,
    { module: 'nodenext', moduleResolution: 'nodenext' }
  ))
