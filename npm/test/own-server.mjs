/**
 * A server of one test file, which can be stopped and started again on its port and its data. The tests share one that
 * runs all the time otherwise; see `server.mjs`.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after } from 'node:test'

const binary = process.env.THNG_PUBSUB_SERVER
const key = 'OwnServerOperatorKey'.padEnd(80, 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefgh')

/** Starts one, and ends it after the tests of the file, at whose top level this is to be called. */
export async function ownServer(...flags) {
  if (!binary) throw new Error('These tests start a server: set THNG_PUBSUB_SERVER to its binary.')
  const data = await mkdtemp(join(tmpdir(), 'thng-pubsub-own-'))
  const server = { key, url: '', pid: 0, start, stop, rest }
  let running
  let http = '127.0.0.1:0'

  async function start() {
    const listeners = ['--http', http, '--mqtt', '127.0.0.1:0']
    const own = ['--data', data, '--operator-key', key, '--log', 'error', ...flags]
    running = spawn(binary, ['serve', ...listeners, ...own], { stdio: ['ignore', 'pipe', 'inherit'] })
    const [line] = await once(createInterface(running.stdout), 'line')
    ;[, http] = /^ready http=(\S+)/.exec(line)
    server.url = `http://${http}`
    server.pid = running.pid
  }

  async function stop() {
    const exited = once(running, 'exit')
    running.kill('SIGTERM')
    await exited
  }

  async function rest(method, path, body) {
    const headers = { authorization: key, 'content-type': 'application/json' }
    const response = await fetch(server.url + path, { method, headers, body: body && JSON.stringify(body) })
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`)
    return response.json()
  }

  const abandon = () => running?.kill('SIGKILL')
  process.once('exit', abandon)
  process.once('SIGTERM', () => process.exit(1))
  after(async () => {
    if (running.exitCode === null && running.signalCode === null) await stop()
    await rm(data, { recursive: true, force: true })
  })
  await start()
  return server
}
