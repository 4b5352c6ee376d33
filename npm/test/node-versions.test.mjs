/**
 * The package in the versions of Node.js that it is for, and in workerd, against our own server.
 *
 * Their programs are npm packages in their own folder, because they are large.
 * Each of them wants to be the `node` that runs the scripts of a package. `cargo xtask test` installs them.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

import { build } from 'esbuild'

import { project } from './project.mjs'
import { createThng, key, url } from './server.mjs'

const runtimes = fileURLToPath(new URL('runtimes/', import.meta.url))
const isTheirs = process.platform === 'linux' && process.arch === 'x64'
const skip = isTheirs ? false : 'the programs are for Linux on x64'

if (isTheirs) await assertInstalled()

const user = await project('node-versions')
const { id } = await createThng()

/** That the programs are there, and the very ones of the lock file. */
async function assertInstalled() {
  const [wanted, installed] = await Promise.all(['package-lock.json', 'node_modules/.package-lock.json'].map(packages))
  const programs = Object.keys(wanted[''].optionalDependencies).map((name) => `node_modules/${name}`)
  const missing = programs.filter((path) => installed[path]?.version !== wanted[path].version)
  if (missing.length === 0) return
  throw new Error(
    `These programs are missing, or of another version than npm/test/runtimes/package-lock.json says: ${missing}. ` +
      'Let `cargo xtask test sdk` install them, or call `npm ci` in npm/test/runtimes/.'
  )
}

/** What is in a lock file of npm; nothing, if it is not there. */
async function packages(name) {
  const lock = await readFile(join(runtimes, name), 'utf8').catch(() => '{ "packages": {} }')
  return JSON.parse(lock).packages
}

/** Ends by itself once everything is closed: there is no process.exit(). */
const SMOKE = `
  evrythng.setup({ apiUrl: process.env.API_URL, apiVersion: 1, geolocation: false })
  evrythng.use(PubSub)
  const operator = new evrythng.Operator(process.env.KEY)
  const property = operator.thng(process.env.THNG).property(process.env.PROPERTY)
  let show
  const received = new Promise((resolve) => (show = resolve))
  const main = async () => {
    await property.subscribe(show)
    await property.publish(process.version, { qos: 1 })
    const [{ value }] = await received
    await PubSub.close()
    console.log(value)
  }
  main()
`

const PROGRAMS = {
  'smoke.cjs': `const evrythng = require('evrythng')\nconst PubSub = require('thng-pubsub')\n${SMOKE}`,
  'smoke.mjs': `import evrythng from 'evrythng'\nimport PubSub from 'thng-pubsub'\n${SMOKE}`,
  'plugin.mjs': `import evrythng from 'evrythng'\nimport PubSub from 'thng-pubsub/plugin'\n${SMOKE}`,
  'slim.mjs': `import { readFileSync } from 'node:fs'
    import { createRequire } from 'node:module'
    import evrythng from 'evrythng'
    import PubSub from 'thng-pubsub/slim'
    await PubSub.init(readFileSync(createRequire(import.meta.url).resolve('thng-pubsub/pubsub.wasm')))
    ${SMOKE}`
}

for (const version of [18, 22, 24]) {
  for (const [name, source] of Object.entries(PROGRAMS)) {
    test(`${name} publishes, hears it and ends in Node.js ${version}`, { skip }, async () => {
      await writeFile(join(user.folder, name), source)
      const program = join(runtimes, `node_modules/node-${version}/bin/node`)
      const property = `${name.replace('.', '_')}_${version}`
      const { code, stdout, stderr } = await user.run(program, [name], { API_URL: url, KEY: key, THNG: id, PROPERTY: property })
      assert.equal(code, 0, stderr)
      assert.match(stdout, new RegExp(`^v${version}\\.`))
    })
  }
}

test('a worker of workerd, which may not compile bytes, publishes and hears it', { skip }, async (t) => {
  const contents = `import PubSub from 'thng-pubsub'
    import { roundTrip } from './round-trip.js'
    export default {
      fetch: async (request) => new Response(await roundTrip(PubSub, await request.json()).catch((error) => error.stack))
    }`
  await writeFile(join(user.folder, 'round-trip.js'), await readFile(new URL('apps/round-trip.js', import.meta.url)))
  // As wrangler does it: with these conditions, and with the modules that are imported left beside the bundle.
  await build({
    stdin: { contents, resolveDir: user.folder },
    bundle: true,
    format: 'esm',
    conditions: ['workerd', 'worker', 'browser'],
    external: ['*.wasm'],
    outfile: join(user.folder, 'worker.js')
  })
  await writeFile(join(user.folder, 'workerd.capnp'), WORKERD)
  const address = await startWorkerd(t)
  const parameters = { apiUrl: url, key, path: `/thngs/${id}/properties/workerd`, value: 'from workerd' }
  const response = await fetch(address, { method: 'POST', body: JSON.stringify(parameters) })
  assert.equal(await response.text(), 'from workerd')
})

const WORKERD = `
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [ (name = "app", worker = .app), (name = "internet", network = (allow = ["private", "public"])) ],
  sockets = [ (name = "http", address = "127.0.0.1:0", http = (), service = "app") ]
);

const app :Workerd.Worker = (
  modules = [
    (name = "worker.js", esModule = embed "worker.js"),
    (name = "pubsub.wasm", wasm = embed "node_modules/thng-pubsub/dist/pubsub.wasm")
  ],
  compatibilityDate = "2026-11-01"
);
`

/** Starts workerd on the project, until the test has ended, and resolves with its address. */
async function startWorkerd(t) {
  const program = join(runtimes, 'node_modules/@cloudflare/workerd-linux-64/bin/workerd')
  const workerd = spawn(program, ['serve', 'workerd.capnp', '--control-fd=3'], {
    cwd: user.folder,
    stdio: ['ignore', 'inherit', 'inherit', 'pipe']
  })
  t.after(() => workerd.kill())
  const [line] = await once(createInterface(workerd.stdio[3]), 'line')
  return `http://127.0.0.1:${JSON.parse(line).port}/`
}
