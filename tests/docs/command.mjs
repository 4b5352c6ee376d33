/**
 * `thng-pubsub-server` as documents call it: the binary under test. A server that is started in the foreground would stay,
 * so `serve` listens on free ports with data of its own, and stops when it is ready.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'

const words = process.argv.slice(2)
const serves = words[0] === 'serve'
const data = serves && mkdtempSync(join(tmpdir(), 'thng-pubsub-served-'))

/** The flags with other places behind those that say one. */
function moved() {
  const elsewhere = (word, at) => (/^--(http|mqtt)s?$/.test(words[at - 1]) && word !== 'off' ? '127.0.0.1:0' : word)
  const others = words.map(elsewhere).filter((word, at) => word !== '--data' && words[at - 1] !== '--data')
  return [...others, '--data', data]
}

const server = spawn(process.env.THNG_PUBSUB_SERVER, serves ? moved() : words, { stdio: ['inherit', 'pipe', 'inherit'] })
server.stdout.on('data', (text) => {
  process.stdout.write(text)
  if (serves && String(text).startsWith('ready ')) server.kill('SIGTERM')
})
server.once('exit', (code, signal) => {
  if (data) rmSync(data, { recursive: true, force: true })
  process.exitCode = code ?? 128 + constants.signals[signal]
})
