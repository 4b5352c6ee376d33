/**
 * A project that uses the package: the tarball, installed by npm into a folder of its own, and beside it the packages
 * that the tests use it with.
 */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)
const npm = fileURLToPath(new URL('..', import.meta.url))

/** The tarball under test: the one that the environment names, or the one that was packed last. */
export async function tarball() {
  const named = process.env.THNG_PUBSUB_TARBALL
  if (named) return named
  const folder = join(npm, '../target/npm')
  const packed = existsSync(folder) ? (await readdir(folder)).filter((name) => name.endsWith('.tgz')) : []
  if (packed.length !== 1) throw new Error('There is no tarball to test. Run `cargo xtask npm` first.')
  return join(folder, packed[0])
}

/** Makes the project, and removes it after the tests of the file, at whose top level this is to be called. */
export async function project(name) {
  const folder = await mkdtemp(join(tmpdir(), `thng-pubsub-${name}-`))
  after(() => rm(folder, { recursive: true, force: true }))
  await writeFile(join(folder, 'package.json'), '{ "private": true }\n')
  await run('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', await tarball()], { cwd: folder })
  for (const other of ['evrythng', 'evrythng-5', 'evrythng-extended', 'typescript']) {
    await symlink(join(npm, 'node_modules', other), join(folder, 'node_modules', other))
  }
  return { folder, require: createRequire(join(folder, 'index.cjs')), run: (...args) => runIn(folder, ...args) }
}

/** Runs a program of the project and returns what it wrote, however it ended; it has a minute. */
async function runIn(folder, program, args, env = {}) {
  const options = { cwd: folder, env: { ...process.env, ...env }, timeout: 60_000, killSignal: 'SIGKILL' }
  try {
    return { code: 0, ...(await run(program, args, options)) }
  } catch (error) {
    if (error.killed) throw new Error(`it did not end within a minute: ${error.stdout}${error.stderr}`)
    return { code: error.code, stdout: error.stdout, stderr: error.stderr }
  }
}
