/**
 * The package as npm installs it: what its entries give, what its types say, how large it is.
 */
import assert from 'node:assert/strict'
import { readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'

import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core'
import * as esbuild from 'esbuild'
import { publint } from 'publint'

import { project, tarball } from './project.mjs'

/** In KiB after gzip: with everything inside, with the plugin only, and without the module. */
const LIMITS = { 'pubsub.js': 52, 'browser.mjs': 52, 'browser.cjs': 52, 'plugin.mjs': 45, 'plugin.cjs': 45, 'slim.mjs': 16 }

const PLUGIN_API = ['PubSubError', 'close', 'init', 'install', 'off', 'on', 'settings', 'setup']
const SCOPES = ['AccessToken', 'Application', 'Device', 'Operator', 'TrustedApplication', 'User']
const API = [...PLUGIN_API, ...SCOPES, 'filter'].sort()

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

test('the plugin alone says where native WebSockets are', async () => {
  const plugin = join(user.folder, 'node_modules/thng-pubsub/dist/plugin.mjs')
  const seen = await node(
    'left-out.mjs',
    `import PubSub from ${JSON.stringify(plugin)}
     class Resource {
       path = '/thngs/U1'
       scope = { apiKey: 'KEY' }
     }
     PubSub.install({ resources: { Resource } })
     const options = { apiUrl: 'ws://localhost', transport: 'websocket' }
     const { code, message } = await new Resource().subscribe(() => {}, options).catch((error) => error)
     console.log(JSON.stringify({ code, message }))`
  )
  assert.equal(seen.code, 'BAD_SETTING')
  assert.match(seen.message, /load thng-pubsub/)
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
    'dist/check.cjs',
    'dist/check.d.cts',
    'dist/check.d.mts',
    'dist/check.mjs',
    'dist/global.d.ts',
    'dist/index.d.cts',
    'dist/index.d.mts',
    'dist/node.cjs',
    'dist/node.mjs',
    'dist/plugin.cjs',
    'dist/plugin.d.cts',
    'dist/plugin.d.mts',
    'dist/plugin.mjs',
    'dist/pubsub.js',
    'dist/pubsub.wasm',
    'dist/slim-node.cjs',
    'dist/slim-node.mjs',
    'dist/slim.cjs',
    'dist/slim.d.cts',
    'dist/slim.d.mts',
    'dist/slim.mjs',
    'dist/workerd.mjs',
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

test('the script is smaller than that of mqtt', async (t) => {
  const ours = await gzipped(join(user.folder, 'node_modules/thng-pubsub/dist/pubsub.js'))
  const theirs = await gzipped(new URL('../node_modules/mqtt/dist/mqtt.min.js', import.meta.url))
  t.diagnostic(`pubsub.js: ${ours} bytes after gzip; mqtt.min.js: ${theirs}`)
  assert.ok(ours < theirs)
})

test('an app with the plugin alone is within its size', async (t) => {
  const contents = `import PubSub from 'thng-pubsub/plugin'; globalThis.evrythng.use(PubSub)`
  const { outputFiles } = await esbuild.build({
    stdin: { contents, resolveDir: user.folder },
    bundle: true,
    minify: true,
    format: 'esm',
    write: false
  })
  const size = gzipSync(outputFiles[0].contents, { level: 9 }).length
  t.diagnostic(`bundled by esbuild: ${size} bytes after gzip`)
  assert.ok(size <= 45 * 1024, `it is ${size} bytes after gzip`)
})

async function gzipped(path) {
  return gzipSync(await readFile(path), { level: 9 }).length
}

test('publint has nothing to say', async () => {
  const { messages } = await publint({ pkgDir: join(user.folder, 'node_modules/thng-pubsub'), pack: false })
  assert.deepEqual(messages, [])
})

test('the types are found however TypeScript looks for them', async () => {
  // The two left out are files to be loaded, which have no types.
  const entrypoints = ['.', './plugin', './slim', './global']
  const packed = createPackageFromTarballData(new Uint8Array(await readFile(await tarball())))
  const { types, problems } = await checkPackage(packed, { entrypoints })
  assert.ok(types, 'there are types')
  assert.deepEqual(problems, [])
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

test('the fields of filters are those that the server documents', async () => {
  const documented = await readFile(new URL('../../docs/rest.md', import.meta.url), 'utf8')
  const types = await readFile(join(user.folder, 'node_modules/thng-pubsub/dist/index.d.cts'), 'utf8')
  const [, declared] = /interface FilterFields \{([^]*?)\n {2}\}/.exec(types)
  const lists = declared.split(/\n {4}(?=\w+:)/).slice(1).filter((list) => !list.startsWith('values'))
  assert.equal(lists.length, 7)
  for (const list of lists) {
    const name = /^\w+/.exec(list)[0].replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)
    const [, row] = new RegExp(`^\\| ${name} \\| (.*) \\|$`, 'm').exec(documented)
    const fields = [...list.matchAll(/\| ['`](.+)['`]$/gm)].map(([, field]) => field.replace('${string}', 'KEY'))
    assert.deepEqual(fields, row.split(', ').map((field) => field.slice(1, -1)), name)
  }
})

const USE_PLUGIN = `
const update = (message: PubSub.PropertyUpdate<number>[]) => message[0].value.toFixed(1)
declare const property: PubSub.Resource<PubSub.PropertyUpdate<number>[]>

export async function usePlugin(): Promise<void> {
  PubSub.setup({ apiUrl: 'ws://127.0.0.1/mqtt', keepAlive: 50, transport: 'websocket' })
  await PubSub.init()
  const { signal } = new AbortController()
  const subscription: PubSub.Subscription = await property.subscribe((message) => update(message), { pubStates: true, qos: 1, signal })
  const topic: string = subscription.topic
  const end: PubSub.PubSubError | undefined = await subscription.closed
  await property.subscribe((message) => update(message), { onError: ({ code }) => console.log(code, end) })
  await subscription.close()
  await subscription[Symbol.asyncDispose]()
  await property.publish(5, { qos: 1, authorization: 'key' })
  await property.unsubscribe()
  for await (const message of property.messages({ limit: 5, signal })) console.log(topic, update(message))
  PubSub.on('disconnected', ({ error, retryInMs }) => {
    const code: PubSub.ErrorCode = error.code
    const delay: number | undefined = retryInMs
    const status: number | undefined = error.status
    console.log(code, delay, status, error instanceof PubSub.PubSubError)
  })
  // @ts-expect-error: there is no such event
  PubSub.on('connect', () => {})
  // @ts-expect-error: it is a number
  PubSub.setup({ keepAlive: '50' })
  // @ts-expect-error: there is no QoS 2
  await property.publish(5, { qos: 2 })
  // @ts-expect-error: there is no such transport
  await property.publish(5, { transport: 'smoke' })
  await PubSub.close()
}
`

const USE_SCOPES = `
export async function useScopes(operator: PubSub.Operator): Promise<void> {
  const scopes: PubSub.Scope[] = [
    new PubSub.Operator('key', { apiUrl: 'https://127.0.0.1', restUrl: '', transport: 'mqtt', tls: { ca: '' } }),
    new PubSub.Application('key'), new PubSub.TrustedApplication('key'), new PubSub.User('key'),
    new PubSub.Device('key'), new PubSub.AccessToken('key')
  ]
  const key: string = scopes[0].apiKey
  const off: () => void = operator.on('disconnected', ({ error, scope }) => console.log(error.code, scope === operator))
  off()
  const state: PubSub.ScopeState = operator.state
  if (state === 'disconnected') await operator.close()
  await operator[Symbol.asyncDispose]()
  new PubSub.Operator('key', { retryFirstConnection: false, idleTimeout: 0, debug: (line) => console.log(line.length) })
  const { id, name }: PubSub.Thng = await operator.thng().create({ name: 'a', properties: { a: 1 } })
  const [listed] = await operator.thng().read({ params: { perPage: 1, ids: [id], filter: 'name=a', anything: 1 } })
  for await (const page of operator.thng().pages({ params: { withTotalCount: true } })) {
    const count: number | undefined = page.total
    for (const { name } of page) console.log(name.length, count)
  }
  const scans: PubSub.Action[] = await operator.action('scans').all({ limit: 5, params: { perPage: 5 } })
  const number: number = await operator.product().total()
  const hall = PubSub.filter<'thngs'>({ tags: ['hall', 'lobby'], 'customFields.floor': { '>': 2 } }, PubSub.filter.any({ name: 'A' }))
  await operator.thng().read({ params: { filter: hall } })
  // @ts-expect-error: thngs have no such field
  PubSub.filter<'thngs'>({ colour: 'red' })
  // @ts-expect-error: there is no such operator
  PubSub.filter({ name: { '==': 'A' } })
  console.log(scans, number)
  const thng = operator.thng(id)
  const path: string = thng.path
  await thng.update({ description: null, tags: ['x'] })
  await thng.subscribe(({ tags }) => tags.join())
  await thng.publish({ name })

  const temperature = thng.property<number>('temperature')
  const [stored] = await temperature.update(5)
  stored.value.toFixed()
  await temperature.update([{ value: 5, timestamp: 1 }])
  await temperature.subscribe(([{ value, key }]) => console.log(value.toFixed(), key.length))
  const all = thng.property<{ temperature: number; isOn: boolean }>()
  for await (const updates of all.messages()) {
    for (const update of updates) if (update.key === 'temperature') update.value.toFixed()
  }
  for await (const updates of thng.property<{ Temp: number }>().messages()) {
    // A key arrives in lower case.
    for (const update of updates) if (update.key === 'temp') update.value.toFixed()
  }
  await temperature.subscribe(([{ value }], { isState }) => console.log(value.toFixed(), isState === true), { pubStates: true })
  await all.publish({ isOn: true })
  await all.update([{ key: 'isOn', value: true }])
  await thng.property('any').update({ nested: [1] })

  const [{ latitude }] = await thng.location().update({ position: { type: 'Point', coordinates: [8, 47] } })
  await thng.location().publish([{ place: 'U' }])
  const action: PubSub.Action = await thng.action('scans').create()
  const actions: PubSub.Action[] = await thng.action().create([{ type: 'scans' }, { type: 'scans', thng: id }])
  await thng.action('scans', action.id).delete()
  await operator.action().subscribe(({ type, thng }) => console.log(type.length, thng))
  await operator.action('_x').subscribe((message) => {
    // It is the type when that is deleted.
    if (message.type === undefined) console.log(message.name.length)
    else console.log(message.timestamp.toFixed())
  })
  await operator.actionType().create({ name: '_x' })
  const type: PubSub.ActionType = await operator.actionType('_x').create()
  const { brand } = await operator.product('U').update({ brand: 'b' })
  const change: PubSub.MembershipChange | undefined = (await operator.collection('U').thng().messages().next()).value
  await operator.collection('U').thng().update([id])
  await operator.collection('U').thng(id).delete()
  const begun = await operator.batch('U').task().create({ type: 'POPULATING', inputParameters: {} })
  await operator.batch('U').task(begun.id).subscribe(({ status }) => status === 'FAILED')
  console.log(key, listed, path, latitude, actions, type, brand, change)

  // @ts-expect-error: it needs a key
  new PubSub.Operator()
  // @ts-expect-error: a list has no properties
  operator.thng().property('k')
  // @ts-expect-error: a list is no topic
  operator.thng().subscribe(() => {})
  // @ts-expect-error: it needs a name
  operator.thng().create({ description: 'd' })
  // @ts-expect-error: it is a number
  temperature.update('5')
  // @ts-expect-error: there is no such property
  all.publish({ humidity: 5 })
  // @ts-expect-error: there is no state unless it is asked for
  temperature.subscribe((message, { isState }) => console.log(message, isState))
  // @ts-expect-error: it cannot be published on
  operator.batch('U').task().publish({})
  // @ts-expect-error: only the package makes errors
  new PubSub.PubSubError()
}
`

/** Each kind of import, with the options of TypeScript that resolve it. */
const TYPES = [
  ['bundler.ts', (name) => `import PubSub from '${name}'\n`, { module: 'esnext', moduleResolution: 'bundler' }],
  ['node16.cts', (name) => `import PubSub = require('${name}')\n`, { module: 'node16', moduleResolution: 'node16' }],
  ['node16.mts', (name) => `import PubSub from '${name}'\n`, { module: 'node16', moduleResolution: 'node16' }],
  ['nodenext.cts', (name) => `import PubSub = require('${name}')\n`, { module: 'nodenext', moduleResolution: 'nodenext' }],
  ['nodenext.mts', (name) => `import PubSub from '${name}'\n`, { module: 'nodenext', moduleResolution: 'nodenext' }]
]

/** Compiles a file of the project strictly, without running it. */
async function compile(name, source, options) {
  await writeFile(join(user.folder, name), source)
  const compilerOptions = { strict: true, noEmit: true, skipDefaultLibCheck: true, target: 'es2022', types: [], ...options }
  const config = `tsconfig.${name}.json`
  await writeFile(join(user.folder, config), JSON.stringify({ compilerOptions, files: [name] }))
  const { code, stdout } = await user.run(process.execPath, ['node_modules/typescript/bin/tsc', '-p', config])
  assert.equal(code, 0, stdout)
}

for (const [name, header, options] of TYPES) {
  test(`the types compile and refuse what is wrong: ${name}`, async () => {
    await compile(name, header('thng-pubsub') + USE_PLUGIN + USE_SCOPES, options)
    const plugin = `${USE_PLUGIN}\n// @ts-expect-error: it has no scopes\nPubSub.Operator\n`
    await compile(`plugin-${name}`, header('thng-pubsub/plugin') + plugin, options)
  })
}

test('the types compile with the newest library, and without those of browsers and Node.js', async () => {
  const [[, header, options]] = TYPES
  await compile('newest.ts', header('thng-pubsub') + USE_PLUGIN + USE_SCOPES, { ...options, lib: ['esnext', 'dom'] })
  const declared = 'declare const signal: PubSub.Signal\ndeclare const console: { log(...args: unknown[]): void }\n'
  const plain = header('thng-pubsub') + declared + USE_PLUGIN.replace(/.*AbortController.*/, '') + USE_SCOPES
  await compile('plain.ts', plain, { ...options, lib: ['es2022'] })
})

test('the types of the global variable compile, in a module and in a script', async () => {
  const use = USE_PLUGIN + USE_SCOPES
  // What a script declares is global, which shows that it is no module.
  const script = `/// <reference types="thng-pubsub/global" />\n${use.replaceAll('export ', '')}\nvoid globalThis.useScopes\n`
  for (const [module, moduleResolution] of [['nodenext', 'nodenext'], ['esnext', 'bundler']]) {
    const options = { module, moduleResolution, moduleDetection: 'auto' }
    await compile(`global-${module}.mts`, `import type {} from 'thng-pubsub/global'\n${use}`, options)
    await compile(`global-${module}.ts`, script, options)
  }
})

test('every type that can be imported has its name under the global variable, too', async () => {
  const dist = join(user.folder, 'node_modules/thng-pubsub/dist')
  const names = async (file, pattern) => [...(await readFile(join(dist, file), 'utf8')).matchAll(pattern)].map(([, name]) => name)
  const imported = await names('index.d.mts', /^export import (\w+) =/gm)
  const values = [...PLUGIN_API, 'filter'].filter((name) => name !== 'PubSubError')
  const named = await names('global.d.ts', /^ {4}type (\w+)[ <]/gm)
  assert.deepEqual(named.sort(), imported.filter((name) => !values.includes(name)).sort())
})

test('names can be imported as types from the ES module', () =>
  compile(
    'names.mts',
    `import { setup, PubSubError, Operator, type Settings, type ErrorCode, type PropertyUpdate, type Messages } from 'thng-pubsub'
     const changed: Settings = setup({ queueLimit: 5 })
     const operator: Operator = new Operator('key')
     export const messages: Messages<PropertyUpdate<number>[]> = operator.thng('U').property<number>('k').messages()
     export const codeOf = (error: unknown): ErrorCode | undefined => error instanceof PubSubError ? error.code : undefined
     export default changed
    `,
    { module: 'nodenext', moduleResolution: 'nodenext' }
  ))
