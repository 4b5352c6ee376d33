// npm `evrythng-extended` 4.7.2, the SDK of the platform for operators from before `evrythng` 5: its scopes, resources
// and iterators.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { before, describe, test } from 'node:test'

import EVT from 'evrythng-extended'

import { httpUrl, key, newest, rest, within, wrongKey } from './server.mjs'

const ID = /^U[0-9A-HK-NP-Ya-hkmnp-tw-y]{23}$/
const ROLE_ID = /^[0-9a-f]{24}$/
const KEY = /^[0-9A-Za-z]{80}$/

/** The same with something behind it that nothing else has. */
const unique = name => `${name} ${randomUUID().slice(0, 8)}`

/** The fields of `document` that `pattern` has. */
const like = (document, pattern) =>
  Object.fromEntries(Object.keys(pattern).map(field => [field, document[field]]))

const ids = documents => documents.map(({ id }) => id)

/** A promise of one of the promise implementations that there were. */
const settled = (what, thenable) => within(what, Promise.resolve(thenable))

/** The document of the refusal that a call meets. */
const refusal = call => Promise.resolve(call).then(() => assert.fail('the call was to be refused'), error => error)

describe('evrythng-extended 4.7.2', () => {
  let operator, project, applicationDocument, application, trusted

  before(async () => {
    EVT.setup({ apiUrl: httpUrl, geolocation: false, quiet: true })
    operator = new EVT.Operator(key)
    await settled('the operator', operator.$init)
    project = await operator.project().create({ name: unique('project') })
    applicationDocument = await operator.project(project.id).application()
      .create({ name: unique('application'), socialNetworks: {} })
    application = new EVT.App(applicationDocument.appApiKey)
    await settled('the application', application.$init)
    const path = `/projects/${project.id}/applications/${application.id}/secretKey`
    trusted = new EVT.TrustedApp((await rest('GET', path)).body.secretApiKey)
    await settled('the trusted application', trusted.$init)
  })

  /** The scope of a new user without a name. */
  async function anonymousUser () {
    const user = await application.appUser().create({ anonymous: true })
    await settled('the user', user.$init)
    return user
  }

  describe('scopes', () => {
    test('an operator has an id and an account', async () => {
      const { body: access } = await rest('GET', '/access')
      assert.equal(operator.id, access.actor.id)
      assert.equal(operator.account.id, access.account)
    })

    test('an application and a trusted application are in their project', () => {
      for (const scope of [application, trusted]) {
        assert.match(scope.apiKey, KEY)
        assert.deepEqual([scope.id, scope.project], [applicationDocument.id, project.id])
        assert.equal(scope.name, applicationDocument.name)
      }
      assert.notEqual(application.apiKey, trusted.apiKey)
    })

    test('a key that nobody knows does not become a scope', async () => {
      await assert.rejects(settled('the refusal', new EVT.App(wrongKey).$init), /no application/)
      await assert.rejects(settled('the refusal', new EVT.User(wrongKey).$init), /no user/)
    })

    test('an application of an operator does what it does with the key of the operator, in its project', async () => {
      const child = new EVT.App({ apiKey: application.apiKey, id: application.id, project: project.id }, operator)
      await settled('the application', child.$init)
      const product = await child.product().create({ name: unique('product') })
      const { scopes } = await operator.product(product.id).read({ params: { withScopes: true } })
      assert.deepEqual(scopes.projects, [project.id])
      const outside = await operator.product().create({ name: unique('outside') })
      const listed = ids(await child.product().read())
      assert.ok(listed.includes(product.id) && !listed.includes(outside.id))
    })

    test('a user without a name', async () => {
      const user = await anonymousUser()
      assert.match(user.id, ID)
      assert.match(user.apiKey, KEY)
      assert.deepEqual([user.project, user.app], [project.id, application.id])
      const thng = await user.thng().create({ name: unique('thng') })
      assert.equal((await user.thng(thng.id).read()).name, thng.name)
      assert.equal((await refusal(thng.delete())).status, 403)
    })

    test('a user with a name is created, validated, logged in, updated and logged out', async () => {
      const credentials = { email: `${randomUUID()}@example.com`, password: 'pass word 1&2' }
      const created = await application.appUser().create({ firstName: 'Ada', lastName: 'Lovelace', ...credentials })
      assert.match(created.id, ID)
      assert.equal(created.status, 'inactive')
      const validated = await created.validate()
      assert.equal(validated.evrythngUser, created.id)
      assert.equal(validated.status, 'active')
      assert.match(validated.evrythngApiKey, KEY)

      const { user } = await application.login(credentials)
      await settled('the user', user.$init)
      assert.deepEqual([user.id, user.firstName], [created.id, 'Ada'])
      assert.equal(user.apiKey, validated.evrythngApiKey, 'a login changes no key')
      await user.update({ firstName: 'Augusta' })
      assert.equal((await operator.user(user.id).read()).firstName, 'Augusta')
      assert.deepEqual(await user.logout(), { logout: 'ok' })
      assert.equal((await rest('GET', '/access', undefined, user.apiKey)).status, 403)

      const refused = await refusal(application.login({ ...credentials, password: 'another password' }))
      assert.ok([401, 403].includes(refused.status), `${refused.status}`)
      assert.equal((await application.login(credentials)).user.id, created.id)
    })

    test('a device is its thng', async () => {
      const thng = await operator.thng().create({ name: unique('device') })
      const { body } = await rest('POST', '/auth/evrythng/thngs', { thngId: thng.id })
      const device = new EVT.Device({ apiKey: body.thngApiKey })
      await settled('the device', device.$init)
      assert.deepEqual([device.id, device.name], [thng.id, thng.name])
      await device.property('temperature').update(21.5)
      assert.equal(await newest(thng.id, 'temperature'), 21.5)
      await device.update({ tags: ['updated'] })
      assert.deepEqual((await operator.thng(thng.id).read()).tags, ['updated'])
      const action = await device.action('scans').create()
      assert.deepEqual([action.type, action.thng], ['scans', thng.id])
    })
  })

  describe('resources', () => {
    /** Shows a resource from its creation to its end. */
    async function life (resource, payload, form = ID) {
      const { status, headers, data: created } = await resource().create(payload, { fullResponse: true })
      assert.equal(status, 201)
      assert.ok(headers.location.endsWith(`/${created.id}`), headers.location)
      assert.match(created.id, form)
      assert.deepEqual(like(created, payload), payload)

      const read = await resource(created.id).read()
      assert.deepEqual(like(read, payload), payload)
      assert.ok(ids(await resource().read({ params: { perPage: 100 } })).includes(created.id))

      await created.update({ description: 'updated' })
      assert.equal(created.description, 'updated')
      assert.ok(created.updatedAt > created.createdAt)
      read.name = unique('sent back whole')
      await read.update()
      assert.equal((await resource(created.id).read()).name, read.name)

      const gone = await resource(created.id).delete({ fullResponse: true })
      assert.deepEqual([gone.status, gone.data], [200, null])
      const refused = await refusal(resource(created.id).read())
      assert.equal(refused.status, 404)
      assert.ok(Array.isArray(refused.errors) && refused.errors.length > 0)
    }

    const common = name => ({ name: unique(name), tags: ['a', 'b'], customFields: { a: { b: [1] } } })

    for (const resource of ['thng', 'product', 'collection', 'place', 'project']) {
      test(`a ${resource}`, () => life(id => operator[resource](id), common(resource)))
    }

    for (const resource of ['thng', 'product', 'collection', 'place']) {
      test(`a ${resource} of a trusted application`, () => life(id => trusted[resource](id), common(resource)))
    }

    test('an application', () =>
      life(id => operator.project(project.id).application(id), { ...common('application'), socialNetworks: {} }))

    test('a role and its permissions', async () => {
      const payload = { name: unique('role'), type: 'userInApp', version: 2 }
      await life(id => operator.role(id), payload, ROLE_ID)
      const role = await operator.role().create(payload)
      assert.ok((await role.permission().read()).length >= 5)
    })

    test('an action type whose name wants escaping', async () => {
      const name = `_${unique('a b&c')}`
      const created = await operator.actionType().create({ name, tags: ['a'] })
      assert.deepEqual([created.name, created.tags], [name, ['a']])
      assert.equal((await operator.actionType(name).read()).name, name)
      assert.deepEqual((await operator.actionType(name).update({ tags: ['b'] })).tags, ['b'])
      await operator.actionType(name).delete()
      assert.equal((await refusal(operator.actionType(name).read())).status, 404)
    })

    test('properties, locations and actions of a thng, and its product', async () => {
      const product = await operator.product().create({ name: unique('product') })
      const thng = await operator.thng().create({ name: unique('thng'), product: product.id })
      assert.equal((await thng.readProduct()).id, product.id)

      const several = await thng.property().update({ a: 1, b: 'x' })
      assert.deepEqual(several.map(({ key, value }) => [key, value]), [['a', 1], ['b', 'x']])
      await operator.thng(thng.id).property('a').create(true)
      assert.deepEqual((await thng.property('a').read()).map(({ value }) => value), [true, 1])
      await thng.property('a').delete()
      assert.deepEqual((await thng.property().read()).map(({ key }) => key), ['b'])

      const position = { type: 'Point', coordinates: [-17.3, 36] }
      const [located] = await thng.location().update({ position })
      assert.deepEqual([located.position, located.latitude, located.longitude], [position, 36, -17.3])
      assert.deepEqual((await thng.location().read()).map(({ position }) => position), [position])
      await thng.location().delete()
      assert.deepEqual(await thng.location().read(), [])

      const action = await thng.action('scans').create()
      assert.deepEqual([action.type, action.thng, action.product], ['scans', thng.id, product.id])
      assert.deepEqual(ids(await product.action('all').read()), [action.id])
      assert.equal((await operator.action('scans', action.id).read()).id, action.id)
      await action.delete()
      assert.equal((await refusal(operator.action('scans', action.id).read())).status, 404)
    })

    test('the members of a collection', async () => {
      const collection = await operator.collection().create({ name: unique('collection') })
      const child = await operator.collection().create({ name: unique('child') })
      const thngs = []
      for (const name of ['1', '2']) thngs.push(await operator.thng().create({ name }))

      await collection.thng().update(ids(thngs))
      assert.deepEqual(ids(await collection.thng().read()).sort(), ids(thngs).sort())
      await collection.thng(thngs[0].id).delete()
      assert.deepEqual(ids(await operator.collection(collection.id).thng().read()), [thngs[1].id])
      await collection.thng().delete()
      assert.deepEqual(await collection.thng().read(), [])

      await collection.collection().create([child.id])
      assert.deepEqual(ids(await collection.collection().read()), [child.id])
      await collection.collection(child.id).delete()
      assert.deepEqual(await collection.collection().read(), [])
    })
  })

  describe('iterators', () => {
    const name = unique('a b&c')
    let pagesProject, thngs

    before(async () => {
      pagesProject = (await operator.project().create({ name: unique('pages') })).id
      thngs = []
      for (let n = 0; n < 7; n += 1) {
        const params = { project: pagesProject }
        thngs.push(await operator.thng().create({ name }, { params }))
        if (n === 3) await operator.thng().create({ name: 'a b' }, { params })
      }
    })

    // An object is a filter whose values this SDK escapes; its newer versions do not.
    const filters = { 'an object': { name }, 'a string': `name=${name.replaceAll('&', '\\&')}` }
    for (const sortOrder of [undefined, 'DESCENDING', 'ASCENDING']) {
      for (const [form, filter] of Object.entries(filters)) {
        test(`page by page, ${sortOrder?.toLowerCase() ?? 'as it likes'}, filtered by ${form}`, async () => {
          const params = { project: pagesProject, perPage: 2, filter, ...sortOrder && { sortOrder } }
          const pages = []
          const iterator = operator.thng().iterator({ params })
          await settled('all pages', EVT.Utils.forEachAsync(iterator, page => { pages.push(ids(page)) }))
          assert.deepEqual(pages.flat(), sortOrder === 'ASCENDING' ? ids(thngs) : ids(thngs).reverse())
          assert.deepEqual(pages.map(page => page.length), [2, 2, 2, 1])
        })
      }
    }

    test('page by page without a filter', async () => {
      const pages = []
      const iterator = operator.thng().iterator({ params: { project: pagesProject, perPage: 3 } })
      await settled('all pages', EVT.Utils.forEachAsync(iterator, page => { pages.push(page.length) }))
      assert.deepEqual(pages, [3, 3, 2])
    })
  })
})
