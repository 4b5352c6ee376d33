// The platform's own end-to-end suite, which npm `evrythng` 5.5.0 carries: it passed against the platform in 2019.
//
// It runs unchanged. What it asks for that is outside the product is in `evrythng-e2e/expected-failures.json`.

import { createRequire } from 'node:module'
import { join } from 'node:path'
import { test } from 'node:test'

import { judge, runMocha, show, withAccount } from './mocha.mjs'

const require = createRequire(import.meta.url)
const TESTS = 220

test('the end-to-end suite of evrythng 5.5.0', async t => {
  const report = await withAccount(environment => runMocha({
    suite: join(import.meta.dirname, 'node_modules/evrythng-5-5/test/e2e/index.spec.js'),
    preload: join(import.meta.dirname, 'evrythng-e2e/preload.cjs'),
    environment
  }))
  await show(t, report, judge(report, require('./evrythng-e2e/expected-failures.json'), TESTS))
})
