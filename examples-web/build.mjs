/**
 * Makes `dist/`, what the pages load that does not lie here as it is: Paho's client, and the app. `crates/transport/build.rs` puts
 * it into the server, which serves `dist/NAME` at `/examples/NAME`. Also puts in place what the scripts in `node/` import.
 *
 * Needs the tarball of the SDK, which `cargo xtask npm` packs; THNG_PUBSUB_TARBALL names another one.
 */
import { spawnSync } from 'node:child_process'
import { copyFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = fileURLToPath(new URL('.', import.meta.url))
const modules = join(here, 'node_modules')

/** What is installed, so that the next build need not do it again. */
const MARK = join(modules, '.installed-package-lock.json')

const tarball = await findTarball()
await installPackages()
await installSdk()
await rm(join(here, 'dist'), { recursive: true, force: true })
await copyPaho()
await buildApp()

function fail(message) {
  console.error(message)
  process.exit(1)
}

/** Runs a program of npm in this folder; its output is shown. */
function run(program, ...args) {
  const { status, error } = spawnSync(program, args, { cwd: here, stdio: 'inherit', shell: process.platform === 'win32' })
  if (error || status !== 0) fail(`${program} ${args[0]} failed${error ? `: ${error.message}` : ''}`)
}

async function findTarball() {
  if (process.env.THNG_PUBSUB_TARBALL) return resolve(process.env.THNG_PUBSUB_TARBALL)
  const folder = join(here, '..', process.env.CARGO_TARGET_DIR ?? 'target', 'npm')
  const packed = (await readdir(folder).catch(() => [])).filter((name) => name.endsWith('.tgz'))
  if (packed.length !== 1) fail('The SDK is not packed. Run `cargo xtask npm` first.')
  return join(folder, packed[0])
}

/** What `package-lock.json` names, unless that very file was installed before. */
async function installPackages() {
  const lock = await readFile(join(here, 'package-lock.json'), 'utf8')
  if ((await readFile(MARK, 'utf8').catch(() => '')) === lock) return
  run('npm', 'ci', '--no-audit', '--no-fund')
  await writeFile(MARK, lock)
}

/** The SDK as npm installs it, from the tarball; no file that stays contains its path. */
async function installSdk() {
  await rm(join(modules, 'thng-pubsub'), { recursive: true, force: true })
  run('npm', 'install', '--no-save', '--prefer-offline', '--no-audit', '--no-fund', tarball)
}

/** Paho's client as it is published, and the licenses that have to accompany it. */
async function copyPaho() {
  const [from, to] = [join(modules, 'paho-mqtt'), join(here, 'dist/paho')]
  await mkdir(to, { recursive: true })
  await copyFile(join(from, 'paho-mqtt.js'), join(to, 'paho-mqtt.js'))
  for (const name of ['edl-v10', 'epl-v10']) await copyFile(join(from, name), join(to, `${name}.txt`))
}

async function buildApp() {
  run(join(modules, '.bin/tsc'), '--project', 'app')
  run(join(modules, '.bin/vite'), 'build', 'app')
}
