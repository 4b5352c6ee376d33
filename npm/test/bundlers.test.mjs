/**
 * Apps that use the package, as the usual bundlers build them without configuration. What they
 * build runs in a browser, against our own server.
 */
import assert from 'node:assert/strict'
import { cp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

import { nodeResolve } from '@rollup/plugin-node-resolve'
import * as esbuild from 'esbuild'
import { rollup } from 'rollup'
import * as vite from 'vite'
import webpack from 'webpack'

import { launch } from './chromium.mjs'
import { project } from './project.mjs'
import { createThng, key, url } from './server.mjs'
import { serveFolder } from './site.mjs'

const user = await project('bundlers')
await cp(fileURLToPath(new URL('apps', import.meta.url)), user.folder, { recursive: true })
const site = await serveFolder(user.folder)
const browser = await launch()
const { id } = await createThng()

/** A page that loads one of the app's files as a module. */
const pageFor = (script) => `<!doctype html><title>an app</title><script type="module" src="${script}"></script>\n`

/** How each bundler builds `entry` of the project into a page, whose path below the project it returns. */
const BUNDLERS = {
  async esbuild(entry, name) {
    const options = { bundle: true, minify: true, format: 'esm', logLevel: 'error' }
    await esbuild.build({ ...options, entryPoints: [join(user.folder, entry)], outfile: join(user.folder, name, 'app.js') })
    return page(name)
  },

  rollup: (entry, name) => buildWithRollup(entry, name, nodeResolve()),

  'rollup for browsers': (entry, name) => buildWithRollup(entry, name, nodeResolve({ browser: true })),

  async webpack(entry, name) {
    const output = { path: join(user.folder, name), filename: 'app.js' }
    const compiler = webpack({ mode: 'production', context: user.folder, entry: `./${entry}`, output })
    const stats = await new Promise((resolve, reject) => {
      compiler.run((error, stats) => compiler.close(() => (error ? reject(error) : resolve(stats))))
    })
    assert.deepEqual(stats.toJson('errors-warnings').errors, [])
    return page(name)
  },

  async vite(entry, name) {
    const root = await rootFor(entry, name)
    await vite.build({ root, configFile: false, logLevel: 'error', base: './' })
    return `/${name}/dist/`
  }
}

async function buildWithRollup(entry, name, plugin) {
  const bundle = await rollup({ input: join(user.folder, entry), plugins: [plugin] })
  await bundle.write({ file: join(user.folder, name, 'app.js'), format: 'esm' })
  await bundle.close()
  return page(name)
}

async function page(name) {
  await writeFile(join(user.folder, name, 'index.html'), pageFor('./app.js'))
  return `/${name}/`
}

/** vite starts from a page, and has the folder of that page for its own. */
async function rootFor(entry, name) {
  const root = join(user.folder, name)
  await cp(fileURLToPath(new URL('apps', import.meta.url)), root, { recursive: true })
  await writeFile(join(root, 'index.html'), pageFor(`./${entry}`))
  return root
}

/** Opens a page and waits for what came of its round trip. */
async function outcomeOf(address, value) {
  const page = await browser.newPage()
  const complaints = []
  page.on('pageerror', (error) => complaints.push(String(error)))
  page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()))
  try {
    const query = new URLSearchParams({ apiUrl: url, key, path: `/thngs/${id}/properties/round_trip`, value })
    await page.goto(`${address}?${query}`)
    await page.waitForFunction(() => globalThis.outcome)
    return await page.evaluate(() => globalThis.outcome)
  } catch (error) {
    throw new Error(`the page showed nothing: ${complaints.join('; ')}`, { cause: error })
  } finally {
    await page.close()
  }
}

const BUILDS = [
  ...Object.keys(BUNDLERS).map((bundler) => [bundler, 'main.js']),
  ['esbuild', 'plugin.js'],
  ['esbuild', 'required.cjs'],
  ['webpack', 'required.cjs'],
  ['webpack', 'starts-worker.js'],
  ['webpack', 'slim-webpack.js'],
  ['vite', 'starts-worker.js'],
  ['vite', 'slim-vite.js']
]

for (const [bundler, entry] of BUILDS) {
  test(`${bundler} builds ${entry}, and its page hears what it publishes`, async () => {
    const name = `${bundler} ${entry}`.replace(/\W+/g, '-')
    const built = await BUNDLERS[bundler](entry, name)
    assert.deepEqual(await outcomeOf(site + built, name), { value: name })
  })
}

for (const entry of ['main.js', 'starts-worker.js', 'slim-vite.js']) {
  test(`vite serves ${entry} unbuilt, and its page hears what it publishes`, async () => {
    const root = await rootFor(entry, `unbuilt-${entry}`)
    const server = await vite.createServer({ root, configFile: false, logLevel: 'error', server: { host: '127.0.0.1', port: 0 } })
    try {
      await server.listen()
      const { port } = server.httpServer.address()
      assert.deepEqual(await outcomeOf(`http://127.0.0.1:${port}/`, entry), { value: entry })
    } finally {
      await server.close()
    }
  })
}

test('a classic worker loads the script by importScripts', async () => {
  await writeFile(join(user.folder, 'classic.html'), pageFor('./starts-classic-worker.js'))
  assert.deepEqual(await outcomeOf(`${site}/classic.html`, 'classic'), { value: 'classic' })
})
