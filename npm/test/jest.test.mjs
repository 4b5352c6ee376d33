/**
 * The packed SDK in Jest with its jsdom, which lacks TextEncoder, TextDecoder and fetch.
 */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

import { project } from './project.mjs'
import { createThng, key, rest, url } from './server.mjs'

const modules = fileURLToPath(new URL('runtimes/node_modules/', import.meta.url))
const user = await project('jest')

const TEST = `
test('publishes and hears it', async () => {
  expect(typeof TextEncoder).toBe('undefined')
  const { Operator, close } = require('thng-pubsub')
  const property = new Operator(process.env.KEY, { apiUrl: process.env.API_URL }).thng(process.env.THNG).property('k')
  const messages = property.messages()
  const first = messages.next()
  await (await property.subscribe(() => {})).close()
  await property.publish('grün ✓ 😀 \\u0000', { qos: 1 })
  expect((await first).value[0].value).toBe('grün ✓ 😀 \\u0000')
  await expect(property.read()).rejects.toMatchObject({ code: 'NO_FETCH' })
  await close()
})
`

test('in the jsdom of Jest messages work, and REST says what it lacks', async () => {
  assert.ok(existsSync(join(modules, 'jest')), 'call `npm ci` in npm/test/runtimes/, or let `cargo xtask test sdk` do so')
  const { id } = await createThng()
  await writeFile(join(user.folder, 'sdk.test.js'), TEST)
  const config = { testEnvironment: join(modules, 'jest-environment-jsdom'), testEnvironmentOptions: { url } }
  await writeFile(join(user.folder, 'jest.config.json'), JSON.stringify(config))
  const env = { API_URL: url, KEY: key, THNG: id }
  const { code, stderr } = await user.run(process.execPath, [join(modules, 'jest/bin/jest.js'), '--config', 'jest.config.json'], env)
  assert.equal(code, 0, stderr)
  const [{ value }] = await rest('GET', `/thngs/${id}/properties/k`)
  assert.equal(value, 'grün ✓ 😀 \u0000')
})
