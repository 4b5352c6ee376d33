/**
 * The entry that says what the server would say: as it is required, imported and typed, and beside a real server.
 */
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { test } from 'node:test'

import { project } from './project.mjs'
import { createThng, key, url } from './server.mjs'

const user = await project('check')
const { checkPublish, describeTopic } = createRequire(`${user.folder}/`)('thng-pubsub/check')
const THNG = '/thngs/UeECn9a8PBpar8x4FEGdMsDd'

test('a topic says what it takes and what it delivers', () => {
  assert.deepEqual(describeTopic(`thngs/UeECn9a8PBpar8x4FEGdMsDd/properties/temperature/?pubStates=1`), {
    topic: `${THNG}/properties/temperature`,
    template: '/thngs/:thngId/properties/:key',
    publish: { operation: 'updateProperties', right: 'update' },
    subscribe: { events: ['propertiesUpdated'], right: 'read' },
    project: null,
    initialState: true,
    hasAccessToken: false
  })
  assert.equal(describeTopic('/batches/UeECn9a8PBpar8x4FEGdMsDd/tasks').publish, null)
})

test('what is no topic is an error that does not repeat the key in it', () => {
  assert.throws(
    () => describeTopic('/thngs/+?access_token=SECRET'),
    ({ code, topic, message }) => code === 'INVALID_TOPIC' && topic === '/thngs/+' && /wildcards/.test(message) && !/SECRET/.test(message)
  )
})

test('a payload is read as publish() would send it', () => {
  assert.deepEqual(checkPublish(`${THNG}/properties/temperature`, 21.5), [])
  assert.deepEqual(checkPublish(`${THNG}/properties`, { temperature: 21.5, state: 'on' }), [])
  assert.throws(() => checkPublish(THNG), { code: 'NO_PAYLOAD' })
  assert.throws(() => checkPublish(THNG, null), { code: 'NO_PAYLOAD' })
})

test('the sentences are those of the server', async () => {
  const headers = { authorization: key, 'content-type': 'application/json' }
  const { id } = await createThng()
  const wrong = [
    [`/thngs/${id}/properties`, [{ value: 1 }, { key: 'a' }]],
    [`/thngs/${id}`, { name: 5, tags: 'red' }],
    [`/thngs/${id}/location`, [{ position: { type: 'Point', coordinates: [500, 0] } }]]
  ]
  for (const [path, body] of wrong) {
    const answer = await fetch(url + path, { method: 'PUT', headers, body: JSON.stringify(body) })
    const { errors } = await answer.json()
    assert.equal(answer.status, 400)
    assert.ok(errors.length)
    assert.deepEqual(checkPublish(path, body), errors, path)
  }
})
