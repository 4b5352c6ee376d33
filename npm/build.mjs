/**
 * Makes `dist/` from `src/`, `types/` and what wasm-bindgen left in `pkg/`. `cargo xtask npm` calls it.
 */
import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { gzipSync } from 'node:zlib'

import { build } from 'esbuild'

import { pack } from './src/packed.js'

const { version } = JSON.parse(await readFile('package.json', 'utf8'))
const banner = `/*! thng-pubsub ${version}, Apache-2.0 */`

await rm('dist', { recursive: true, force: true })
await mkdir('dist')
await makeFactory()
await packModule()
await bundle()
await copyTypes()
await copyEvrythng()
await reportSizes()

/**
 * wasm-bindgen's script sets a variable and has one instance. Inside a function, every call makes another, with the
 * timer functions that it is given in place of the global ones.
 */
async function makeFactory() {
  const script = await readFile('pkg/core.js', 'utf8')
  const factory = `export default function createCore(setTimeout, clearTimeout) {\n${script}\nreturn core\n}\n`
  await writeFile('pkg/core-factory.js', factory)
}

/** The module as a string that can be bundled. */
async function packModule() {
  const packed = pack(await readFile('pkg/core.wasm'))
  await writeFile('pkg/core-packed.js', `export default ${JSON.stringify(packed)}\n`)
}

async function bundle() {
  const common = {
    bundle: true,
    minify: true,
    target: 'es2022',
    charset: 'ascii',
    legalComments: 'none',
    banner: { js: banner },
    logLevel: 'warning'
  }
  const browser = { ...common, platform: 'browser' }
  await Promise.all([
    build({ ...browser, entryPoints: ['src/entry-script.js'], format: 'iife', outfile: 'dist/pubsub.js' }),
    build({ ...browser, entryPoints: ['src/entry-esm.js'], format: 'esm', outfile: 'dist/browser.mjs' }),
    build({ ...browser, entryPoints: ['src/entry-cjs.cjs'], format: 'cjs', outfile: 'dist/browser.cjs' }),
    build({
      ...common,
      platform: 'node',
      target: 'node18',
      external: ['ws'],
      entryPoints: ['src/entry-node.cjs'],
      format: 'cjs',
      outfile: 'dist/node.cjs'
    }),
    copyFile('src/node.mjs', 'dist/node.mjs')
  ])
}

async function copyTypes() {
  for (const name of ['index.d.cts', 'index.d.mts', 'global.d.ts']) await copyFile(`types/${name}`, `dist/${name}`)
}

/**
 * The browser bundle of evrythng.js, for the example pages, which load nothing from elsewhere. It is not packed.
 * Its licence wants to be passed on with it.
 */
async function copyEvrythng() {
  const folder = 'node_modules/evrythng'
  const { version } = JSON.parse(await readFile(`${folder}/package.json`, 'utf8'))
  const notice = `/*! evrythng.js ${version}, Apache-2.0, see evrythng.LICENSE.txt; unchanged but for this line */\n`
  await writeFile('dist/evrythng.js', notice + (await readFile(`${folder}/dist/evrythng.browser.js`, 'utf8')))
  await copyFile(`${folder}/LICENSE.txt`, 'dist/evrythng.LICENSE.txt')
}

async function reportSizes() {
  for (const name of ['pubsub.js', 'browser.mjs']) {
    const bytes = await readFile(`dist/${name}`)
    console.log(`dist/${name}: ${bytes.length} bytes, ${gzipSync(bytes, { level: 9 }).length} gzip`)
  }
}
