// Suites that others wrote for mocha: run as they are, and every one of their tests shown as a test of ours.
//
// What cannot pass here is listed with its reason, and the list is held to: what it names must fail, and nothing else
// may. How many tests a suite has is known, so that none gets lost, with a hook that failed or with another version.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { rmSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'

import { exitCode, launch } from './launch.mjs'

const require = createRequire(import.meta.url)

/** How long a suite may take. `cargo xtask test` allows the file that runs it 180 s. */
const WAIT_MAX_MS = 150_000

/**
 * Runs a suite and gives mocha's own report of it, as its JSON reporter writes it.
 *
 * @param {string} suite - the file to run
 * @param {string} preload - the module that is loaded before it
 * @param {object} environment - what the suite and the preload find in `process.env`
 */
export async function runMocha ({ suite, preload, environment }) {
  const folder = await mkdtemp(join(tmpdir(), 'thng-pubsub-mocha-'))
  const output = join(folder, 'report.json')
  const mocha = spawn(process.execPath, [
    require.resolve('mocha/bin/mocha.js'),
    '--no-config', '--no-package', '--no-bail', '--exit', '--timeout', '20000',
    '--require', preload, '--reporter', 'json', '--reporter-option', `output=${output}`, suite
  ], { env: { ...process.env, ...environment }, stdio: ['ignore', 'pipe', 'pipe'] })
  const abandon = () => {
    mocha.kill('SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  }
  const timer = setTimeout(() => mocha.kill('SIGKILL'), WAIT_MAX_MS)
  process.once('exit', abandon)
  let said = ''
  for (const stream of [mocha.stdout, mocha.stderr]) stream.on('data', chunk => { said += chunk })
  try {
    const code = await exitCode(mocha)
    const report = await readFile(output, 'utf8').catch(() => {
      throw new Error(`mocha left no report, but code ${code} and these last words:\n${said.slice(-4000)}`)
    })
    return { ...JSON.parse(report), said }
  } finally {
    clearTimeout(timer)
    process.off('exit', abandon)
    await rm(folder, { recursive: true, force: true })
  }
}

/**
 * Holds a report against what is expected of the suite.
 *
 * @param {object} report - as mocha's JSON reporter writes it.
 * @param {{title: string, reason: string}[]} expectedFailures - by full title, or by its beginning and a `*`.
 * @param {number} count - how many tests the suite has, with those that it skips.
 * @returns {{title: string, verdict: 'passed'|'pending'|'failed as expected'|'wrong', why?: string}[]} - one for each
 *   test and failed hook, and one for each fault of the list or the number of tests.
 */
export function judge (report, expectedFailures, count) {
  const said = ({ stack, message }) => stack || message || 'failed'
  const failures = new Map(report.failures.map(({ fullTitle, err }) => [fullTitle, said(err)]))
  const pending = new Set(report.pending.map(({ fullTitle }) => fullTitle))
  const tests = report.tests.map(({ fullTitle }) => fullTitle)
  // A hook that failed is among the failures, but no test.
  const titles = [...new Set([...tests, ...failures.keys()])]

  const names = (entry, title) =>
    entry.title.endsWith('*') ? title.startsWith(entry.title.slice(0, -1)) : title === entry.title
  const entryOf = title => expectedFailures.find(entry => names(entry, title))

  const verdicts = titles.map(title => {
    const entry = entryOf(title)
    if (pending.has(title)) return { title, verdict: 'pending' }
    if (entry && failures.has(title)) return { title, verdict: 'failed as expected', why: entry.reason }
    if (entry) return { title, verdict: 'wrong', why: `passes, but '${entry.title}' is among the expected failures` }
    if (failures.has(title)) return { title, verdict: 'wrong', why: failures.get(title) }
    return { title, verdict: 'passed' }
  })
  for (const entry of expectedFailures) {
    if (typeof entry.reason !== 'string' || entry.reason === '') {
      verdicts.push({ title: `expected failure '${entry.title}'`, verdict: 'wrong', why: 'it has no reason' })
    }
    if (!titles.some(title => !pending.has(title) && entryOf(title) === entry)) {
      verdicts.push({ title: `expected failure '${entry.title}'`, verdict: 'wrong', why: 'it names no test that ran' })
    }
  }
  if (tests.length !== count || new Set(tests).size !== count) {
    const why = `${tests.length} tests ran, with ${new Set(tests).size} titles, but the suite has ${count}`
    verdicts.push({ title: 'the number of tests', verdict: 'wrong', why })
  }
  return verdicts
}

/** Shows what was judged: one subtest for each verdict, and what the suite said where something is wrong. */
export async function show (t, report, verdicts) {
  for (const { title, verdict, why } of verdicts) {
    await t.test(title, { skip: verdict === 'pending' && 'the suite leaves it out' }, t => {
      if (verdict === 'failed as expected') t.diagnostic(`expected failure: ${why}`)
      if (verdict === 'wrong') assert.fail(why)
    })
    // Node.js reports in its own time, and with --test-force-exit what has piled up at the end is lost.
    await turn()
  }
  // Once more here, because a pattern for names may have left the subtests out.
  const wrong = verdicts.filter(({ verdict }) => verdict === 'wrong').map(({ title }) => title)
  if (wrong.length > 0 && report.said) t.diagnostic(`the suite said:\n${report.said.slice(-4000)}`)
  assert.deepEqual(wrong, [])
}

/**
 * Calls `use` with the environment that names a server with an account of its own: these suites read and delete
 * whatever is newest. Where no binary is named it is the server that the tests were given.
 */
export async function withAccount (use) {
  if (!process.env.THNG_PUBSUB_SERVER) {
    const { httpUrl, key } = await import('./server.mjs')
    return use({ THNG_PUBSUB_TEST_URL: httpUrl, THNG_PUBSUB_TEST_KEY: key })
  }
  const server = await launch()
  try {
    return await use(server.environment)
  } finally {
    await server.stop()
  }
}
