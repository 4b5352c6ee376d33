// The platform's own end-to-end suite for API v2, which npm `evrythng` 6.0.5 carries: access policies, operators'
// accesses and access tokens.
//
// It runs unchanged, and nothing in it may fail.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { test } from 'node:test'

import { judge, runMocha, show, withAccount } from './mocha.mjs'

const require = createRequire(import.meta.url)
const TESTS = 6

/** The id of the account that a key belongs to. */
async function accountOf ({ THNG_PUBSUB_TEST_URL: url, THNG_PUBSUB_TEST_KEY: authorization }) {
  const response = await fetch(`${url}/access`, { headers: { authorization } })
  assert.equal(response.status, 200)
  return (await response.json()).account
}

test('the end-to-end suite of evrythng 6.0.5 for API v2', async t => {
  const report = await withAccount(async environment => runMocha({
    suite: join(import.meta.dirname, 'node_modules/evrythng-6/test/e2e/index.spec.js'),
    preload: join(import.meta.dirname, 'evrythng-v2-e2e/preload.cjs'),
    environment: {
      ...environment,
      ACCOUNT_ID: await accountOf(environment),
      OPERATOR_EMAIL: `operator-${Date.now()}@example.com`
    }
  }))
  await show(t, report, judge(report, require('./evrythng-v2-e2e/expected-failures.json'), TESTS))
})
