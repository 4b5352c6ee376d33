// How the suites that others wrote for mocha are judged: that nothing passes for right which is not.

import assert from 'node:assert/strict'
import { join } from 'node:path'
import { before, describe, test } from 'node:test'

import { judge, runMocha } from './mocha.mjs'

const fixture = join(import.meta.dirname, 'mocha-fixture.cjs')
const HOOK = 'a suite with a hook "before all" hook: that fails for "is never run"'
const COUNT = 3

const fails = { title: 'a suite fails', reason: 'it was written to' }
const hook = { title: HOOK, reason: 'it was written to' }

describe('the verdicts on a suite of mocha', () => {
  let report
  before(async () => {
    report = await runMocha({ suite: fixture, preload: 'node:assert', environment: {} })
  })

  /** What is wrong, as lines. */
  function wrong (expectedFailures, count = COUNT) {
    return judge(report, expectedFailures, count)
      .filter(({ verdict }) => verdict === 'wrong')
      .map(({ title, why }) => `${title}: ${why.split('\n')[0]}`)
  }

  test('each test and each hook that failed has one', () => {
    const verdicts = judge(report, [fails, hook], COUNT).map(({ title, verdict }) => [title, verdict])
    assert.deepEqual(Object.fromEntries(verdicts), {
      'a suite passes': 'passed',
      'a suite fails': 'failed as expected',
      'a suite is left out': 'pending',
      [HOOK]: 'failed as expected'
    })
  })

  test('a failure that is not listed is wrong, in a test as in a hook', () => {
    assert.deepEqual(wrong([]), [
      'a suite fails: AssertionError [ERR_ASSERTION]: as it was written to',
      `${HOOK}: AssertionError [ERR_ASSERTION]: before all`
    ])
  })

  test('a listed test that passes is wrong, also where the list names it by its beginning', () => {
    assert.deepEqual(wrong([fails, hook, { title: 'a suite passes', reason: 'x' }]), [
      "a suite passes: passes, but 'a suite passes' is among the expected failures"
    ])
    assert.deepEqual(wrong([{ title: 'a suite *', reason: 'x' }]), [
      "a suite passes: passes, but 'a suite *' is among the expected failures"
    ])
  })

  test('a listed test that does not exist, or is left out, is wrong', () => {
    for (const title of ['a suite', 'a suite flies*', 'a suite is left out', 'a suite with a hook is never run']) {
      assert.deepEqual(wrong([fails, hook, { title, reason: 'x' }]), [
        `expected failure '${title}': it names no test that ran`
      ])
    }
  })

  test('a listed test without a reason is wrong', () => {
    assert.deepEqual(wrong([{ title: fails.title }, hook]), [`expected failure '${fails.title}': it has no reason`])
  })

  test('a suite of another size is wrong', () => {
    for (const count of [COUNT - 1, COUNT + 1]) {
      assert.deepEqual(wrong([fails, hook], count), [
        `the number of tests: 3 tests ran, with 3 titles, but the suite has ${count}`
      ])
    }
  })
})

test('a suite that cannot be loaded is told with what was said about it', async () => {
  const missing = runMocha({ suite: fixture, preload: './there-is-no-such-module.cjs', environment: {} })
  await assert.rejects(missing, /left no report[^]*there-is-no-such-module/)
})
