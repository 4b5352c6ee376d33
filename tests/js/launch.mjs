// A server of one's own: started on free ports with its own data, and gone when it is stopped or its starter ends.
//
// `with-server.mjs` runs all tests against one. The tests that want an account to themselves start another.

import { spawn } from 'node:child_process'
import { existsSync, rmSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

const folder = import.meta.dirname
const key = 'OperatorKeyOfTheNpmClients0123456789'.padEnd(80, 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefgh')

const LISTENERS = ['--http', '--mqtt', '--https', '--mqtts'].flatMap(flag => [flag, '127.0.0.1:0'])

/** The exit code of a process, when it ends. */
export function exitCode (process_) {
  return new Promise((resolve, reject) => process_.once('exit', resolve).once('error', reject))
}

/** The binary to test: `THNG_PUBSUB_SERVER`, else the release build, else the debug build of this workspace. */
export function binary () {
  const built = ['release', 'debug'].map(profile => join(folder, '../../target', profile, 'thng-pubsub-server'))
  const found = [process.env.THNG_PUBSUB_SERVER, ...built].find(path => path && existsSync(path))
  if (!found) throw new Error('no server: cargo build --release --package thng-pubsub-server')
  return found
}

/** Starts a server and waits until it is ready. */
export async function launch () {
  const data = await mkdtemp(join(tmpdir(), 'thng-pubsub-test-'))
  const server = spawn(
    binary(),
    ['serve', ...LISTENERS, '--data', data, '--operator-key', key, '--log', 'warn'],
    { stdio: ['ignore', 'pipe', 'inherit'] }
  )
  const ended = exitCode(server)
  const abandon = () => {
    server.kill('SIGKILL')
    rmSync(data, { recursive: true, force: true })
  }
  process.once('exit', abandon)
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(128 + constants.signals[signal]))

  const line = await Promise.race([
    new Promise(resolve => createInterface(server.stdout).once('line', resolve)),
    ended.then(code => { throw new Error(`the server ended at its start with code ${code}`) })
  ])
  const [, http, mqtt, https, mqtts] = /^ready http=(\S+) mqtt=(\S+) https=(\S+) mqtts=(\S+)/.exec(line)
  return {
    /** The variables that name it for the tests. */
    environment: {
      THNG_PUBSUB_TEST_URL: `http://${http}`,
      THNG_PUBSUB_TEST_MQTT: mqtt,
      THNG_PUBSUB_TEST_HTTPS: https,
      THNG_PUBSUB_TEST_MQTTS: mqtts,
      THNG_PUBSUB_TEST_KEY: key
    },
    async stop () {
      server.kill('SIGTERM')
      await ended
      process.off('exit', abandon)
      rmSync(data, { recursive: true, force: true })
    }
  }
}
