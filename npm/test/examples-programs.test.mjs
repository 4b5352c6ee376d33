/**
 * The programs among the examples, as they are started in a terminal.
 */
import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'

import { createThng, key, rest, url } from './server.mjs'

const WRONG_KEY = 'Z'.repeat(80)

/** What the programs are started with, as the list of examples says. */
const environment = {
  HTTP: new URL(url).host,
  KEY: key,
  ...(process.env.THNG_PUBSUB_TEST_MQTT && { MQTT: process.env.THNG_PUBSUB_TEST_MQTT })
}

/** Runs an example to its end, for which it has a minute. */
function run(program, file, variables) {
  const path = fileURLToPath(new URL(`../../examples-web/${file}`, import.meta.url))
  const env = { ...process.env, ...environment, ...variables }
  return new Promise((resolve, reject) => {
    execFile(program, [path], { env, timeout: 60_000, killSignal: 'SIGKILL' }, (error, stdout, stderr) => {
      if (error?.killed) reject(new Error(`it did not end within a minute: ${stdout}${stderr}`))
      else resolve({ code: error ? error.code : 0, stdout, stderr })
    })
  })
}

/** The values in the order in which they were written. */
const history = async (id) => (await rest('GET', `/thngs/${id}/properties/temperature`)).map(({ value }) => value).reverse()

/** The values in lines with a list of updates. */
const printed = (stdout) => [...stdout.matchAll(/"value":([\d.]+),"timestamp"/g)].map(([, value]) => Number(value))

const hasMosquitto = spawnSync('mosquitto_sub', ['--help']).error === undefined

for (const [program, file, skip] of [
  [process.execPath, 'node/sdk.js'],
  [process.execPath, 'node/mqtt.js'],
  [process.execPath, 'node/ws.js'],
  ['sh', 'shell/mosquitto.sh', !hasMosquitto && "Mosquitto's clients are not installed"]
]) {
  describe(file, { skip }, () => {
    test('prints what it has published, as the server has stored it, and ends', async () => {
      const { id } = await createThng()
      const { code, stdout, stderr } = await run(program, file, { THNG: id })
      assert.deepEqual([code, stderr], [0, ''])
      const values = printed(stdout)
      assert.ok(values.length >= 3, stdout)
      assert.deepEqual(values, await history(id))
    })

    test('makes a thng where none is given', async () => {
      const { code, stdout, stderr } = await run(program, file)
      assert.equal(code, 0, stderr)
      assert.ok(printed(stdout).length >= 3, stdout)
    })

    test('ends and says why when the key is wrong, with a thng and without', async () => {
      const { id } = await createThng()
      for (const THNG of [id, '']) {
        const { code, stdout, stderr } = await run(program, file, { KEY: WRONG_KEY, THNG })
        assert.notEqual(code, 0)
        assert.match(stderr, /key|authori[sz]ed|403/i)
        assert.deepEqual(printed(stdout), [])
      }
      assert.deepEqual(await history(id), [])
    })

    test('says what it needs when it is given nothing', async () => {
      const { code, stderr } = await run(program, file, { KEY: '' })
      assert.notEqual(code, 0)
      assert.match(stderr, /Set KEY to an operator API key/)
    })
  })
}

describe('shell/rest.sh', () => {
  test('writes a property, and reads it and its history back', async () => {
    const { id } = await createThng()
    const { code, stdout, stderr } = await run('sh', 'shell/rest.sh', { THNG: id })
    assert.deepEqual([code, stderr], [0, ''])
    const values = await history(id)
    assert.deepEqual(values, [37.2, 37.5, 37.8])
    assert.deepEqual(printed(stdout), [...values, values.at(-1), ...values.toReversed()])
  })

  test('shows what the server says when it refuses, and fails', async () => {
    const { code, stdout, stderr } = await run('sh', 'shell/rest.sh', { KEY: WRONG_KEY })
    assert.notEqual(code, 0)
    assert.match(stdout + stderr, /The API key is not valid/)
  })
})
