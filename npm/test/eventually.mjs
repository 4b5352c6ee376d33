/** Waits for what nothing reports. */
import assert from 'node:assert/strict'

const SECONDS_MAX = 60

/**
 * Asks again until it is true.
 *
 * @param {string} what - What is waited for, for the failure.
 * @param {() => boolean | Promise<boolean>} isTrue
 */
export async function eventually(what, isTrue) {
  const deadline = Date.now() + SECONDS_MAX * 1_000
  while (!(await isTrue())) {
    if (Date.now() > deadline) assert.fail(`${what}: not within ${SECONDS_MAX} seconds`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
