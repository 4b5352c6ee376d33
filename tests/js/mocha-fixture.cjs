// A suite with everything that can become of a test, for mocha.test.mjs.

const assert = require('node:assert/strict')

describe('a suite', () => {
  it('passes', () => {})
  it('fails', () => assert.fail('as it was written to'))
  it('is left out')

  describe('with a hook', () => {
    before('that fails', () => assert.fail('before all'))
    it('is never run', () => {})
  })
})
