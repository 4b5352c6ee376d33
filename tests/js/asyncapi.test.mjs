// The description of the topics, against AsyncAPI's own JSON schema; and its examples, published unchanged.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { test } from 'node:test'

import Ajv from 'ajv'
import WebSocket from 'ws'

import { Events, createThng, httpUrl, key, next, wsUrl } from './server.mjs'

const require = createRequire(import.meta.url)
const specs = require('@asyncapi/specs')

const described = async () => (await fetch(`${httpUrl}/asyncapi.json`)).json()

test('the document is AsyncAPI 3.0.0', async () => {
  // The schema includes the drafts that it uses, which the validator has too.
  const ajv = new Ajv({ strict: false, meta: false, validateSchema: false, logger: false, validateFormats: false })
  const validate = ajv.compile(specs.schemas['3.0.0'])
  assert.ok(validate(await described()), ajv.errorsText(validate.errors))
  assert.equal(validate({ asyncapi: '3.0.0' }), false, 'the schema tells documents from others')
})

test('what it says can be published on a thng’s topics is taken there', async () => {
  const { channels } = await described()
  for (const name of ['thng', 'thngProperties', 'thngProperty', 'thngLocation']) {
    const { address, messages } = channels[name]
    const path = address.replace('{thngId}', await createThng()).replace('{key}', 'temperature')
    const socket = new WebSocket(wsUrl + path, { headers: { authorization: key } })
    const arrived = new Events(socket, 'message')
    await next(socket, 'open')
    socket.send(JSON.stringify(messages.write.examples[0].payload))
    const [text] = await arrived.take()
    assert.ok(!JSON.parse(text).errors, `${address}: ${text}`)
    socket.close()
  }
})
