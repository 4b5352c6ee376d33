// npm `evrythng`, the SDK of the platform, in its last version for API v1 and its last one at all.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'

import { VERSIONS, refusal } from './evrythng.mjs'
import { key, newest, rest, within, wrongKey } from './server.mjs'

for (const [version, { evrythng, settings }] of Object.entries(VERSIONS)) {
  describe(version, () => {
    async function scope () {
      evrythng.setup(settings)
      const operator = new evrythng.Operator(key)
      await within('the scope', operator.init())
      return operator
    }

    test('an operator scope initialises from its key', async () => {
      const operator = await scope()
      const access = (await rest('GET', '/access')).body
      assert.equal(operator.id, access.actor.id)
      assert.equal(typeof operator.createdAt, 'number')
    })

    test('a key that nobody knows does not become a scope', async () => {
      evrythng.setup(settings)
      const refused = await refusal(new evrythng.Operator(wrongKey).init())
      assert.equal(refused.status, 403)
    })

    test('thngs are created, read, updated, listed and deleted', async () => {
      const operator = await scope()
      const payload = { name: 'Test thng', tags: ['a'], customFields: { hello: 'World' }, identifiers: { serial: '78' } }
      const thng = await operator.thng().create(payload)
      assert.equal(thng.id.length, 24)
      assert.equal(thng.name, payload.name)
      assert.deepEqual(thng.customFields, payload.customFields)

      const read = await operator.thng(thng.id).read()
      assert.equal(read.id, thng.id)
      assert.deepEqual(read.identifiers, payload.identifiers)

      const listed = await operator.thng().read()
      assert.ok(Array.isArray(listed))
      assert.ok(listed.some(({ id }) => id === thng.id))

      const updated = await operator.thng(thng.id).update({ tags: ['updated'] })
      assert.deepEqual(updated.tags, ['updated'])
      assert.notEqual(updated.createdAt, updated.updatedAt)

      read.name = 'sent back whole'
      await read.update()
      assert.equal((await operator.thng(thng.id).read()).name, 'sent back whole')

      await operator.thng(thng.id).delete()
      const refused = await refusal(operator.thng(thng.id).read())
      assert.equal(refused.status, 404)
      assert.ok(refused.errors.length > 0)
    })

    test('a thng without a name is refused with status, errors and moreInfo', async () => {
      const operator = await scope()
      const refused = await refusal(operator.thng().create({ foo: 'bar' }))
      assert.equal(refused.status, 400)
      assert.ok(Array.isArray(refused.errors))
      assert.equal(typeof refused.moreInfo, 'string')
    })

    test('deleting what is not there tells why', async () => {
      const operator = await scope()
      const refused = await refusal(operator.thng('U'.repeat(24)).delete())
      assert.equal(refused.status, 404)
    })

    test('properties are updated in every form that the SDK offers', async () => {
      const operator = await scope()
      const thng = await operator.thng().create({ name: 'with properties' })
      const property = id => operator.thng(thng.id).property(id)

      for (const value of [3, 'text', true, { nested: [1, 2.5, null] }, ['a', 'b'], 'null']) {
        const form = typeof value === 'object' ? { value } : value
        const [stored] = await property('temp').update(form)
        assert.deepEqual([stored.key, stored.value], ['temp', value])
        assert.deepEqual(await newest(thng.id, 'temp'), value)
      }
      const several = await property().update({ a: 1, b: 'x' })
      assert.deepEqual(several.map(({ key, value }) => [key, value]), [['a', 1], ['b', 'x']])
      const [array] = await property().update([{ key: 'c', value: 5 }])
      assert.deepEqual([array.key, array.value], ['c', 5])
      const [timed] = await property('temp').update([{ value: 'past', timestamp: 1_500_000_000_000 }])
      assert.equal(timed.timestamp, 1_500_000_000_000)
    })

    test('properties are created by POST, read and deleted', async () => {
      const operator = await scope()
      const thng = await operator.thng().create({ name: 'with properties' })
      const property = id => operator.thng(thng.id).property(id)

      await property('k').create(5)
      await property().create({ key: 'other', value: 6 })
      const history = await property('k').read()
      assert.deepEqual(history.map(({ value }) => value), [5])
      const all = await property().read()
      assert.equal(all.length, 2)
      assert.deepEqual(Object.fromEntries(all.map(({ key, value }) => [key, value]))['k'], 5)
      assert.equal((await operator.thng(thng.id).read()).properties.k, 5)

      await property('k').delete()
      assert.equal((await property('k').read()).length, 0)
      assert.equal((await property().read()).length, 1)
    })

    test('a key in camelCase is read back in lower case', async () => {
      const operator = await scope()
      const thng = await operator.thng().create({ name: 'lower case' })
      await operator.thng(thng.id).property('camelCase').update(1)
      assert.equal((await operator.thng(thng.id).property('camelCase').read())[0].value, 1)
      assert.deepEqual((await operator.thng(thng.id).read()).properties, { camelcase: 1 })
    })
  })
}
