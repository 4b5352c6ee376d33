// Starts a server of its own, runs the tests of this folder against it, and stops it.
//
//   node with-server.mjs [test files…]
//
// The binary is `THNG_PUBSUB_SERVER`, else the release build, else the debug build of this workspace.

import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

const folder = import.meta.dirname
const key = 'OperatorKeyOfTheNpmClients0123456789'.padEnd(80, 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefgh')

/** The exit code of a process, when it ends. */
function exitCode (process_) {
  return new Promise((resolve, reject) => process_.once('exit', resolve).once('error', reject))
}

function binary () {
  const built = ['release', 'debug'].map(profile => join(folder, '../../target', profile, 'thng-pubsub-server'))
  const found = [process.env.THNG_PUBSUB_SERVER, ...built].find(path => path && existsSync(path))
  if (!found) throw new Error('no server: cargo build --release --package thng-pubsub-server')
  return found
}

const data = await mkdtemp(join(tmpdir(), 'thng-pubsub-test-'))
const server = spawn(
  binary(),
  ['serve', '--http', '127.0.0.1:0', '--mqtt', '127.0.0.1:0', '--data', data, '--operator-key', key, '--log', 'warn'],
  { stdio: ['ignore', 'pipe', 'inherit'] }
)
const ended = exitCode(server)
try {
  const line = await Promise.race([
    new Promise(resolve => createInterface(server.stdout).once('line', resolve)),
    ended.then(code => { throw new Error(`the server ended at its start with code ${code}`) })
  ])
  const [, http, mqtt] = /^ready http=(\S+) mqtt=(\S+)/.exec(line)
  const environment = {
    ...process.env,
    THNG_PUBSUB_TEST_URL: `http://${http}`,
    THNG_PUBSUB_TEST_MQTT: mqtt,
    THNG_PUBSUB_TEST_KEY: key
  }
  const arguments_ = ['--test', ...process.argv.slice(2)]
  const tests = spawn(process.execPath, arguments_, { cwd: folder, env: environment, stdio: 'inherit' })
  process.exitCode = await exitCode(tests)
} finally {
  server.kill('SIGTERM')
  await ended
  await rm(data, { recursive: true })
}
