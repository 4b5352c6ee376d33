/**
 * Makes `dist/` from `src/`, `types/` and what wasm-bindgen left in `pkg/`. `cargo xtask npm` calls it.
 */
import { createHash } from 'node:crypto'
import { copyFile, mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { gzipSync } from 'node:zlib'

import { build } from 'esbuild'

import { pack } from './src/packed.js'

const { version } = JSON.parse(await readFile('package.json', 'utf8'))
const banner = `/*! thng-pubsub ${version}, Apache-2.0 */`

/** For the plugin alone, which has to be small: the module without native WebSockets, and a sentence in their place. */
const leaveNativeOut = {
  name: 'leave-native-out',
  setup({ onResolve }) {
    onResolve({ filter: /\/pkg\/core-/ }, ({ path }) => ({ path: resolve('pkg', path.replace(/.*core-/, 'mqtt-')) }))
    onResolve({ filter: /^\.\/native\.js$/ }, () => ({ path: resolve('src/native-left-out.js') }))
  }
}

await rm('dist', { recursive: true, force: true })
await mkdir('dist')
for (const name of ['core', 'mqtt', 'check']) {
  await makeFactory(name)
  await packModule(name)
}
await bundle()
await copyTypes()
await copyEvrythng()
await compressServed()
await hashScript()
await reportSizes()

/**
 * wasm-bindgen's script sets a variable and has one instance. Inside a function, every call makes another, with the
 * timer functions that it is given in place of the global ones. `document` is given too, as nothing: the script would
 * only derive an address from it that nobody asks for, which fails in a frame that has none of its own.
 */
async function makeFactory(name) {
  const script = await readFile(`pkg/${name}.js`, 'utf8')
  const factory = `export default function createCore(setTimeout, clearTimeout, document) {\n${script}\nreturn core\n}\n`
  await writeFile(`pkg/${name}-factory.js`, factory)
}

/** The module as a string that can be bundled. */
async function packModule(name) {
  const packed = pack(await readFile(`pkg/${name}.wasm`))
  await writeFile(`pkg/${name}-packed.js`, `export default ${JSON.stringify(packed)}\n`)
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
  const mqttOnly = { ...browser, plugins: [leaveNativeOut] }
  const node = { ...common, platform: 'node', target: 'node18', external: ['ws'], format: 'cjs' }
  await Promise.all([
    build({ ...browser, entryPoints: ['src/entry-script.js'], format: 'iife', outfile: 'dist/pubsub.js' }),
    build({ ...browser, entryPoints: ['src/entry-esm.js'], format: 'esm', outfile: 'dist/browser.mjs' }),
    build({ ...browser, entryPoints: ['src/entry-cjs.cjs'], format: 'cjs', outfile: 'dist/browser.cjs' }),
    build({ ...mqttOnly, entryPoints: ['src/entry-plugin.js'], format: 'esm', outfile: 'dist/plugin.mjs' }),
    build({ ...mqttOnly, entryPoints: ['src/entry-plugin-cjs.cjs'], format: 'cjs', outfile: 'dist/plugin.cjs' }),
    build({ ...browser, entryPoints: ['src/slim.js'], format: 'esm', outfile: 'dist/slim.mjs' }),
    build({ ...browser, entryPoints: ['src/slim-cjs.cjs'], format: 'cjs', outfile: 'dist/slim.cjs' }),
    build({ ...browser, entryPoints: ['src/check.js'], format: 'esm', outfile: 'dist/check.mjs' }),
    build({ ...browser, entryPoints: ['src/check.js'], format: 'cjs', outfile: 'dist/check.cjs' }),
    build({
      ...browser,
      external: ['./pubsub.wasm'],
      entryPoints: ['src/workerd.js'],
      format: 'esm',
      outfile: 'dist/workerd.mjs'
    }),
    build({ ...node, entryPoints: ['src/entry-node.cjs'], outfile: 'dist/node.cjs' }),
    build({ ...node, entryPoints: ['src/slim-node.cjs'], outfile: 'dist/slim-node.cjs' }),
    wrapForImport('node'),
    wrapForImport('slim-node'),
    copyFile('pkg/core.wasm', 'dist/pubsub.wasm')
  ])
}

/** What `import` gets in Node.js: the instance that `require()` gives. */
async function wrapForImport(name) {
  const wrapper = await readFile('src/node.mjs', 'utf8')
  await writeFile(`dist/${name}.mjs`, wrapper.replace('./node.cjs', `./${name}.cjs`))
}

async function copyTypes() {
  for (const name of await readdir('types')) await copyFile(`types/${name}`, `dist/${name}`)
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

/** What the server sends to whoever takes gzip, which is every browser. It is not packed. */
async function compressServed() {
  for (const name of ['pubsub.js', 'browser.mjs', 'slim.mjs', 'pubsub.wasm', 'evrythng.js', 'evrythng.LICENSE.txt']) {
    await writeFile(`dist/${name}.gz`, gzipSync(await readFile(`dist/${name}`), { level: 9 }))
  }
}

/** What a page says of the script that it wants and no other; goes into the packed README. */
async function hashScript() {
  const hash = createHash('sha384').update(await readFile('dist/pubsub.js')).digest('base64')
  await writeFile('dist/integrity.txt', `sha384-${hash}\n`)
}

async function reportSizes() {
  for (const name of ['pubsub.js', 'browser.mjs', 'plugin.mjs', 'slim.mjs', 'check.mjs', 'pubsub.wasm']) {
    const bytes = await readFile(`dist/${name}`)
    console.log(`dist/${name}: ${bytes.length} bytes, ${gzipSync(bytes, { level: 9 }).length} gzip`)
  }
}
