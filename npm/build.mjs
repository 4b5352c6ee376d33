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
const noWebSocket = {
  name: 'no-websocket',
  setup({ onResolve }) {
    onResolve({ filter: /\/pkg\/core-/ }, ({ path }) => ({ path: resolve('pkg', path.replace(/.*core-/, 'mqtt-')) }))
    onResolve({ filter: /^\.\/topic-sockets\.js$/ }, () => ({ path: resolve('src/no-websocket.js') }))
  }
}

/** What the server serves at `/sdk/`; see `crates/transport/build.rs`. */
const SERVED = [
  'pubsub.js',
  'served.mjs',
  'served.slim.mjs',
  'pubsub.wasm',
  'evrythng.js',
  'evrythng.LICENSE.txt',
  'mqttws31.js',
  'mqttws31.LICENSE.txt'
]

/** What evrythng.js says of its servers, and what the served copy says instead. */
const SERVERS = [
  [/(?=const t=Object\.assign\(\{\},\{apiUrl:)/, `const servedBy=(${servedBy})();`],
  ['"https://api.evrythng.io/v2"', 'servedBy'],
  ['2:{us:"https://api.evrythng.io/v2",eu:"https://api.eu.evrythng.io/v2"}', '2:{us:servedBy,eu:servedBy}'],
  ['1:{us:"https://api.evrythng.com",eu:"https://api-eu.evrythng.com"}', '1:{us:servedBy,eu:servedBy}'],
  ['defaultShortDomain:"tn.gg"', 'defaultShortDomain:servedBy'],
  ['"https://".concat(e)', '(e===servedBy?e:"https://".concat(e))']
]

/** What of wasm-bindgen's script only loads a module, which `wasm-module.js` does. It passes a compiled one in an object. */
const LOADING = [
  [/ {4}let script_src;[^]*?\n {4}}\n/, ''],
  [/(?<=async function __wbg_load\(module, imports\) {\n)[^]*?(?=\n {4}}\n\n {4}function initSync)/,
    'return { instance: await WebAssembly.instantiate(module, imports), module };'],
  [/(?<=function initSync\(module\) {[^]*?)if \(module !== undefined\) {[^]*?(?=\n\n {8}const imports)/, '({module} = module);'],
  [/ {8}if \(!\(module instanceof WebAssembly\.Module\)\) {[^]*?\n {8}}\n/, ''],
  [/(?<=async function __wbg_init_once\(module_or_path\) {\n)[^]*?(?=\n\n {8}const imports)/, '({module_or_path} = module_or_path);'],
  [/ {8}if \(typeof module_or_path === 'string'[^]*?\n {8}}\n/, '']
]

await rm('dist', { recursive: true, force: true })
await mkdir('dist')
for (const name of ['core', 'mqtt', 'check']) {
  await makeFactory(name)
  await packModule(name)
}
await bundle()
await copyTypes()
await copyEvrythng()
await copyPaho()
await compressServed()
await hashScript()
await reportSizes()

/**
 * wasm-bindgen's script sets a variable and has one instance. Inside a function, every call makes another, with the
 * timer functions and the coders of UTF-8 that it is given in place of the global ones. `document` is given as nothing:
 * the script would only derive an address from it that is of no use, which fails in a frame that has none of its own.
 */
async function makeFactory(name) {
  const script = withoutLoading(await withShortNames(await readFile(`pkg/${name}.js`, 'utf8'), name))
  const factory = `export default function createCore(setTimeout, clearTimeout, document, TextEncoder, TextDecoder) {\n${script}\nreturn core\n}\n`
  await writeFile(`pkg/${name}-factory.js`, factory)
}

function withoutLoading(script) {
  for (const [pattern, shorter] of LOADING) {
    if (!pattern.test(script)) throw new Error(`wasm-bindgen's script has nothing like ${pattern}`)
    script = script.replace(pattern, () => shorter)
  }
  return script
}

/** wasm-bindgen's script with the names that Binaryen has given to what the module imports and exports. */
async function withShortNames(script, name) {
  const { imports, exports } = JSON.parse(await readFile(`pkg/${name}-names.json`, 'utf8'))
  const rename = (pattern, short) => {
    if (!pattern.test(script)) throw new Error(`wasm-bindgen's script has nothing like ${pattern}`)
    script = script.replace(pattern, () => short)
  }
  for (const [, long, short] of imports) rename(new RegExp(`(?<=\\s)${long}(?=: function)`), `'${short}'`)
  if (imports.length) rename(/"\.\/\w+\.js"(?=: import0)/, 'a')
  const byName = new Map(exports)
  return script.replace(/\bwasm\.(\w+)/g, (_, long) => `wasm.${byName.get(long) ?? long}`)
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
  // What require() gives is the default of the module.
  const required = { format: 'cjs', footer: { js: 'module.exports=module.exports.default' } }
  const mqttOnly = { ...browser, plugins: [noWebSocket] }
  const node = { ...common, platform: 'node', target: 'node18', external: ['ws'], format: 'cjs' }
  await Promise.all([
    build({ ...browser, entryPoints: ['src/entry-script.js'], format: 'iife', outfile: 'dist/pubsub.js' }),
    build({ ...browser, entryPoints: ['src/entry-esm.js'], format: 'esm', outfile: 'dist/browser.mjs' }),
    build({ ...browser, entryPoints: ['src/entry-served.js'], format: 'esm', outfile: 'dist/served.mjs' }),
    build({ ...browser, entryPoints: ['src/entry-served-slim.js'], format: 'esm', outfile: 'dist/served.slim.mjs' }),
    build({ ...browser, ...required, entryPoints: ['src/entry-required.js'], outfile: 'dist/browser.cjs' }),
    build({ ...mqttOnly, entryPoints: ['src/entry-plugin.js'], format: 'esm', outfile: 'dist/plugin.mjs' }),
    build({ ...mqttOnly, ...required, entryPoints: ['src/entry-required-plugin.js'], outfile: 'dist/plugin.cjs' }),
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
 * Its own default is the platform's public address. This copy must not send keys there, so its default is the server
 * that serves it. Its license wants to be passed on with it, and says that changes are to be named.
 */
async function copyEvrythng() {
  const folder = 'node_modules/evrythng'
  const { version } = JSON.parse(await readFile(`${folder}/package.json`, 'utf8'))
  const notice =
    `/*! evrythng.js ${version}, Apache-2.0, see evrythng.LICENSE.txt; changed: this line, and requests go to the ` +
    'server that the script was loaded from, unless setup() names another */\n'
  const script = await readFile(`${folder}/dist/evrythng.browser.js`, 'utf8')
  await writeFile('dist/evrythng.js', notice + withOwnServer(script))
  await copyFile(`${folder}/LICENSE.txt`, 'dist/evrythng.LICENSE.txt')
}

/** Goes into the script: the server at whose `/sdk/` it was loaded from, else that of the page. */
function servedBy() {
  const address = typeof document === 'object' && document.currentScript ? document.currentScript.src : ''
  const served = /^(https?:.+)\/sdk\/(?:[^/]+\/)?evrythng\.js(?:[?#]|$)/.exec(address)
  return served ? served[1] : location.protocol.startsWith('http') ? location.origin : ''
}

function withOwnServer(script) {
  for (const [theirs, ours] of SERVERS) {
    if (script.split(theirs).length < 2) throw new Error(`evrythng.js has changed: it does not have ${theirs}`)
    script = script.replace(theirs, () => ours)
  }
  const foreign = script.match(/https?:\/\/[^"' ]+|tn\.gg/g)
  if (foreign) throw new Error(`evrythng.js still names ${foreign.join(', ')}`)
  return script
}

/**
 * Paho's client for browsers under the name that the platform's documents give it, with their global variable, Messaging,
 * beside its own. It is not packed.
 */
async function copyPaho() {
  const folder = 'node_modules/paho-mqtt'
  const { version } = JSON.parse(await readFile(`${folder}/package.json`, 'utf8'))
  const notice = `/*! paho-mqtt ${version}, EPL-1.0 or EDL-1.0, see mqttws31.LICENSE.txt; changed: this line and the last */\n`
  const names = 'if (globalThis.Paho) globalThis.Messaging = Paho.MQTT = Paho\n'
  const script = await readFile(`${folder}/paho-mqtt.js`, 'utf8')
  await writeFile('dist/mqttws31.js', `${notice}${script}\n${names}`)
  const licenses = await Promise.all(['edl-v10', 'epl-v10'].map((name) => readFile(`${folder}/${name}`, 'utf8')))
  await writeFile('dist/mqttws31.LICENSE.txt', licenses.join('\n\n'))
}

/** Compresses what the server sends to clients that accept gzip, as every browser does. It is not packed. */
async function compressServed() {
  for (const name of SERVED) {
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
