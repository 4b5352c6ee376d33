// The life of every resource by the REST calls of npm's `evrythng`.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { describe, test } from 'node:test'

import { refusal } from './evrythng.mjs'
import {
  anonymousUser, answered, application, describeVersions, ID, ids, KEY, like,
  operator, project, ROLE_ID, trusted, unique
} from './evrythng-versions.mjs'
import { rest } from './server.mjs'

describeVersions(() => {
  describe('resources', () => {
    /** Shows a resource from its creation to its end. */
    async function life (resource, payload, { id: form = ID, filter = `name=${payload.name}`, ...extra } = {}) {
      const created = await resource().create(payload)
      assert.equal(answered.status, 201)
      assert.ok(answered.location.endsWith(`/${created.id}`), answered.location)
      assert.match(created.id, form)
      assert.deepEqual(like(created, payload), payload)
      assert.deepEqual(like(created, extra), extra)
      assert.equal(created.createdAt, created.updatedAt)

      const read = await resource(created.id).read()
      assert.deepEqual(like(read, payload), payload)
      assert.equal(read.id, created.id)

      const listed = await resource().read({ params: filter ? { filter } : { perPage: 100 } })
      if (filter) assert.equal(listed.length, 1)
      assert.ok(ids(listed).includes(created.id))

      const updated = await resource(created.id).update({ description: 'updated' })
      assert.equal(answered.status, 200)
      assert.deepEqual(like(updated, { ...payload, description: 'updated' }), { ...payload, description: 'updated' })
      assert.equal(updated.createdAt, created.createdAt)
      assert.ok(updated.updatedAt > updated.createdAt)

      read.name = unique('sent back whole')
      await read.update()
      assert.equal((await resource(created.id).read()).name, read.name)

      await resource(created.id).delete()
      assert.equal(answered.status, 200)
      assert.equal((await refusal(resource(created.id).read())).status, 404)
      return created
    }

    const common = name => ({
      name: unique(name),
      tags: ['a', 'b c'],
      customFields: { Colour: 'red', nested: { n: [1, 2.5, true, null] } },
      identifiers: { Serial: '78&=,', 'gs1:21': '1234' }
    })

    for (const scope of ['operator', 'trusted']) {
      const of = () => ({ operator, trusted })[scope]

      test(`a thng of the ${scope}`, () => life(id => of().thng(id), common('thng')))

      test(`a product of the ${scope}`, async () => {
        const payload = { ...common('product'), brand: 'ACME', categories: ['x', 'y'] }
        const created = await life(id => of().product(id), payload)
        assert.equal(created.fn, payload.name)
      })

      test(`a collection of the ${scope}`, () => life(id => of().collection(id), common('collection')))

      test(`a place of the ${scope}`, async () => {
        const position = { type: 'Point', coordinates: [-0.1, 51.5] }
        const payload = { ...common('place'), position, address: { street: 'Old Street', city: 'London' } }
        await life(id => of().place(id), payload, { latitude: 51.5, longitude: -0.1 })
      })
    }

    test('a project', () => life(id => operator.project(id), common('project')))

    test('an application', async () => {
      const payload = { ...common('application'), socialNetworks: {} }
      const created = await life(
        id => operator.project(project.id).application(id),
        payload,
        { project: project.id, defaultRole: 'base_app_user' }
      )
      assert.match(created.appApiKey, KEY)
      assert.equal((await rest('GET', '/access', undefined, created.appApiKey)).status, 403, 'its key went with it')
    })

    test('a role', async () => {
      const payload = { name: unique('role'), type: 'userInApp', version: 2 }
      await life(id => operator.role(id), payload, { id: ROLE_ID, filter: null })
      const builtIn = (await operator.role().read()).slice(0, 3)
      assert.deepEqual(ids(builtIn).sort(), ['admin', 'base_app_user', 'none'])
    })

    test('what has no name is refused, with status, errors and moreInfo', async () => {
      for (const resource of ['thng', 'product', 'collection', 'project']) {
        const refused = await refusal(operator[resource]().create({ foo: 'bar' }))
        assert.equal(refused.status, 400, resource)
        assert.ok(Array.isArray(refused.errors) && refused.errors.length > 0)
        assert.equal(typeof refused.moreInfo, 'string')
      }
    })

    for (const resource of ['thng', 'product']) {
      test(`properties of a ${resource} that come with it, and later`, async () => {
        const properties = { status: 'new', level: 3 }
        const { id } = await operator[resource]().create({ name: unique(resource), properties })
        assert.deepEqual((await operator[resource](id).read()).properties, properties)
        const of = property => operator[resource](id).property(property)
        await of().update({ status: 'used', Extra: [1] })
        assert.deepEqual((await of('status').read()).map(({ value }) => value), ['used', 'new'])
        assert.deepEqual((await operator[resource](id).read()).properties, { status: 'used', level: 3, extra: [1] })
        await of('status').delete()
        assert.deepEqual(await of('status').read(), [])
      })
    }

    test('an action type, built in or our own', async () => {
      const name = `_${unique('type')}`
      const builtIn = (await operator.actionType().read({ params: { perPage: 100 } })).map(({ name }) => name)
      for (const one of ['checkins', 'implicitScans', 'scans', 'shares']) assert.ok(builtIn.includes(one), one)
      assert.equal((await operator.actionType('scans').read()).name, 'scans')

      const created = await operator.actionType().create({ name, tags: ['a'], customFields: { a: 1 } })
      assert.equal(answered.status, 201)
      assert.deepEqual([created.name, created.tags, created.customFields], [name, ['a'], { a: 1 }])
      assert.equal((await refusal(operator.actionType().create({ name }))).status, 409)
      assert.equal((await refusal(operator.actionType().create({ name: 'noUnderscore' }))).status, 400)
      // The SDK encodes the name twice, and this one has a space.
      assert.equal((await operator.actionType(name).read()).name, name)
      assert.deepEqual((await operator.actionType(name).update({ tags: ['b'] })).tags, ['b'])
      assert.deepEqual((await operator.actionType(name).read()).tags, ['b'])
      await operator.actionType(name).delete()
      assert.equal((await refusal(operator.actionType(name).read())).status, 404)
    })

    test('an action, by its type, by all, and of a thng, a product and a collection', async () => {
      const type = `_${randomUUID()}`
      await operator.actionType().create({ name: type })
      const product = await operator.product().create({ name: unique('product') })
      const thng = await operator.thng().create({ name: unique('thng'), product: product.id })
      const collection = await operator.collection().create({ name: unique('collection') })

      const payload = {
        thng: thng.id,
        timestamp: 1_500_000_000_000,
        tags: ['a'],
        identifiers: { Order: '1' },
        customFields: { a: { b: [1] } },
        location: { latitude: 51.5, longitude: -0.1 },
        locationSource: 'sensor'
      }
      const first = await operator.action(type).create(payload)
      assert.equal(answered.status, 201)
      assert.ok(answered.location.endsWith(`/${first.id}`), answered.location)
      assert.match(first.id, ID)
      const { location, ...others } = payload
      assert.deepEqual(like(first, others), others)
      assert.deepEqual([first.location.latitude, first.location.longitude], [51.5, -0.1])
      assert.equal(first.product, product.id, "the thng's product")
      assert.deepEqual(like(await operator.action(type, first.id).read(), others), others)
      assert.equal((await operator.action('all', first.id).read()).id, first.id)

      const byAll = await operator.action('all').create({ type, thng: thng.id })
      const ofThng = await operator.thng(thng.id).action(type).create()
      const ofThngByAll = await thng.action('all').create({ type })
      const ofProduct = await operator.product(product.id).action(type).create({ customFields: {} })
      const ofCollection = await operator.collection(collection.id).action(type).create()
      assert.deepEqual([ofThng.thng, ofThngByAll.thng], [thng.id, thng.id])
      assert.deepEqual([ofProduct.product, ofCollection.collection], [product.id, collection.id])
      assert.deepEqual([byAll.type, ofThngByAll.type], [type, type])

      const ofTheThng = ids([ofThngByAll, ofThng, byAll, first])
      assert.deepEqual(ids(await operator.thng(thng.id).action('all').read()), ofTheThng)
      assert.deepEqual(ids(await operator.action('all').setFilter(`thng=${thng.id}`).read()), ofTheThng)
      assert.deepEqual(ids(await operator.product(product.id).action(type).read()), [ofProduct.id, ...ofTheThng])
      assert.deepEqual(ids(await operator.collection(collection.id).action('all').read()), [ofCollection.id])
      assert.equal((await operator.action(type).read()).length, 6)

      assert.equal((await operator.action(type, first.id).read()).context, undefined)
      const [withContext] = await operator.action(type).setContext().read()
      assert.equal(typeof withContext.context, 'object')

      await operator.action(type, first.id).delete()
      assert.equal(answered.status, 200)
      assert.equal((await refusal(operator.action(type, first.id).read())).status, 404)
      assert.equal((await refusal(operator.action(`_${randomUUID()}`).create())).status, 404)
      assert.equal((await refusal(operator.action('all').create({ thng: thng.id }))).status, 400)
    })

    test('several actions at once', async () => {
      const thng = await operator.thng().create({ name: unique('thng') })
      const created = await operator.action('scans').create([{ thng: thng.id }, { thng: thng.id, tags: ['b'] }])
      assert.equal(answered.status, 201)
      assert.deepEqual(created.map(({ type, thng }) => [type, thng]), [['scans', thng.id], ['scans', thng.id]])
      const listed = await operator.thng(thng.id).action('scans').read()
      assert.deepEqual(ids(listed).sort(), ids(created).sort())
    })

    test('an action says who did it', async () => {
      const user = await anonymousUser()
      const thng = await user.thng().create({ name: unique('thng') })
      const byUser = await user.action('scans').create({ thng: thng.id })
      assert.deepEqual(
        [byUser.user, byUser.createdByApp, byUser.createdByProject],
        [user.id, application.id, project.id]
      )
      const byTrusted = await trusted.action('scans').create()
      assert.deepEqual([byTrusted.createdByApp, byTrusted.createdByProject], [application.id, project.id])
      assert.equal(byTrusted.user, undefined)
    })
  })
})
