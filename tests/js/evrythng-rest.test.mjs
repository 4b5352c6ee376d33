// Everything that npm's `evrythng` does by REST: scopes for every kind of key, the life of every resource, paged lists,
// and what a key sees of a project.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { before, describe, test } from 'node:test'

import { VERSIONS, refusal } from './evrythng.mjs'
import { key, rest, within } from './server.mjs'

const ID = /^U[0-9A-HK-NP-Ya-hkmnp-tw-y]{23}$/
const ROLE_ID = /^[0-9a-f]{24}$/
const KEY = /^[0-9A-Za-z]{80}$/

/** The same with something behind it that nothing else has. */
const unique = name => `${name} ${randomUUID().slice(0, 8)}`

/** The fields of `document` that `pattern` has. */
const like = (document, pattern) =>
  Object.fromEntries(Object.keys(pattern).map(field => [field, document[field]]))

const ids = documents => documents.map(({ id }) => id)

/** What was last answered to an SDK: they call the global `fetch`. */
let answered
const { fetch } = globalThis
globalThis.fetch = async (...call) => {
  const response = await fetch(...call)
  answered = { status: response.status, location: response.headers.get('location') }
  return response
}

for (const [version, { evrythng, settings }] of Object.entries(VERSIONS)) {
  describe(version, () => {
    let operator, project, applicationDocument, application, trusted

    before(async () => {
      evrythng.setup(settings)
      operator = new evrythng.Operator(key)
      await within('the operator', operator.init())
      project = await operator.project().create({ name: unique('project') })
      applicationDocument = await operator.project(project.id).application()
        .create({ name: unique('application'), socialNetworks: {} })
      application = new evrythng.Application(applicationDocument.appApiKey)
      await within('the application', application.init())
      const { secretApiKey } = await operator.project(project.id).application(applicationDocument.id).secretKey().read()
      trusted = new evrythng.TrustedApplication(secretApiKey)
      await within('the trusted application', trusted.init())
    })

    /** The access document of a key. */
    async function access (apiKey) {
      const { status, body } = await rest('GET', '/access', undefined, apiKey)
      assert.equal(status, 200)
      return body
    }

    /** The scope of a new user without a name. */
    async function anonymousUser () {
      const user = await application.appUser().create({ anonymous: true })
      await within('the user', user.init())
      return user
    }

    /** The document of a new user with a name, and what they log in with. */
    async function namedUser () {
      const credentials = { email: `${randomUUID()}@example.com`, password: 'pass word 1&2' }
      const names = { firstName: 'Ada', lastName: 'Lovelace' }
      return { credentials, names, created: await application.appUser().create({ ...names, ...credentials }) }
    }

    /** The scope of a new thng of the project, by its own key. */
    async function device () {
      const thng = await operator.thng().setProject(project.id).create({ name: unique('device') })
      const { body } = await rest('POST', '/auth/evrythng/thngs', { thngId: thng.id })
      const scope = new evrythng.Device(body.thngApiKey)
      await within('the device', scope.init())
      return { thng, scope }
    }

    describe('scopes', () => {
      test('an operator has its account and itself', async () => {
        const { account, actor } = await access(key)
        assert.equal(typeof account, 'string')
        assert.deepEqual(actor, { type: 'operator', id: operator.id })
        assert.equal(typeof operator.email, 'string')
        assert.equal(typeof operator.createdAt, 'number')
      })

      test('an operator updates itself', async () => {
        const firstName = unique('Grace')
        await operator.update({ firstName })
        assert.equal(operator.firstName, firstName)
        await operator.read()
        assert.equal(operator.firstName, firstName)
      })

      test('an application is the one of its public key, in its project', async () => {
        assert.match(application.apiKey, KEY)
        assert.equal(application.id, applicationDocument.id)
        assert.equal(application.project, project.id)
        assert.equal(application.appApiKey, application.apiKey)
        assert.equal(application.name, applicationDocument.name)
        const { actor, project: inProject, app } = await access(application.apiKey)
        assert.deepEqual([actor, inProject, app], [{ type: 'app', id: application.id }, project.id, application.id])
      })

      test('a trusted application is the same one by another key', async () => {
        assert.match(trusted.apiKey, KEY)
        assert.notEqual(trusted.apiKey, application.apiKey)
        assert.equal(trusted.id, application.id)
        assert.equal(trusted.project, project.id)
        const { actor, project: inProject, app } = await access(trusted.apiKey)
        assert.deepEqual([actor.id, inProject, app], [application.id, project.id, application.id])
      })

      test('an application updates itself', async () => {
        await trusted.update({ tags: ['updated'] })
        assert.deepEqual(trusted.tags, ['updated'])
        const read = await operator.project(project.id).application(application.id).read()
        assert.deepEqual(read.tags, ['updated'])
      })

      test('a user without a name is created by an application, with a key of their own', async () => {
        const user = await anonymousUser()
        assert.match(user.id, ID)
        assert.match(user.apiKey, KEY)
        assert.equal(user.status, 'anonymous')
        assert.equal(user.project, project.id)
        assert.equal(user.app, application.id)
        const { actor, project: inProject, app } = await access(user.apiKey)
        assert.deepEqual([actor, inProject, app], [{ type: 'userInApp', id: user.id }, project.id, application.id])
      })

      test('a user with a name is created, validated, logged in and logged out', async () => {
        const { credentials, names, created } = await namedUser()
        assert.match(created.id, ID)
        assert.equal(created.status, 'inactive')
        assert.equal(created.email, credentials.email)
        assert.equal(created.evrythngApiKey, undefined, 'there is no key before the validation')
        assert.equal(created.password, undefined)

        const validated = await within('the validation', created.validate())
        assert.equal(validated.id, created.id)
        assert.match(validated.apiKey, KEY)
        assert.deepEqual(like(validated, names), names)
        assert.equal(validated.password, undefined)

        const user = await within('the login', application.login(credentials))
        assert.equal(answered.status, 200)
        assert.equal(user.id, created.id)
        assert.equal(user.apiKey, validated.apiKey, 'a login changes no key')
        assert.deepEqual([user.email, user.project, user.app], [credentials.email, project.id, application.id])
        // The login of the SDK's trusted application fails in the SDK: it takes one class User for the other.
        const { status, body } = await rest('POST', '/users/login', credentials, trusted.apiKey)
        assert.deepEqual([status, body.id, body.access.apiKey], [200, user.id, user.apiKey])
        assert.deepEqual(
          like(body.access, { user: 0, app: 0, project: 0 }),
          { user: user.id, app: application.id, project: project.id }
        )

        assert.deepEqual({ ...await validated.logout() }, { logout: 'ok' })
        assert.equal((await rest('GET', '/access', undefined, validated.apiKey)).status, 403)
        const again = await within('another login', application.login(credentials))
        assert.equal((await access(again.apiKey)).actor.id, created.id)
      })

      test('a wrong password, a wrong code and an address that is taken are refused', async () => {
        const { credentials, created } = await namedUser()
        const wrong = await refusal(application.appUser(created.id).validate('nonsense'))
        assert.ok([400, 403, 404].includes(wrong.status), `${wrong.status}`)
        await created.validate()
        const refused = await refusal(application.login({ ...credentials, password: 'another password' }))
        assert.ok([401, 403].includes(refused.status), `${refused.status}`)
        const taken = await refusal(application.appUser().create({ firstName: 'Charles', ...credentials }))
        assert.equal(taken.status, 409)
      })

      test('users read and update themselves; the list has those with a name', async () => {
        const { credentials, created } = await namedUser()
        const user = await created.validate()
        const anonymous = await anonymousUser()
        await user.update({ firstName: 'Augusta' })
        assert.equal(user.firstName, 'Augusta')
        assert.equal((await operator.user(user.id).read()).firstName, 'Augusta')
        assert.equal((await trusted.user(anonymous.id).read()).id, anonymous.id)

        const listed = ids(await operator.user().setProject(project.id).read())
        assert.ok(listed.includes(user.id) && !listed.includes(anonymous.id))
        const found = await operator.user().setFilter(`email=${credentials.email}`).read()
        assert.deepEqual(ids(found), [user.id])

        await operator.user(user.id).delete()
        assert.equal((await refusal(operator.user(user.id).read())).status, 404)
        assert.equal((await rest('GET', '/access', undefined, user.apiKey)).status, 403)
      })

      test('a device is its thng', async () => {
        const { thng, scope } = await device()
        assert.match(scope.apiKey, KEY)
        assert.equal(scope.id, thng.id)
        assert.equal(scope.name, thng.name)
        const { actor, project: inProject } = await access(scope.apiKey)
        assert.deepEqual([actor, inProject], [{ type: 'device', id: thng.id }, project.id])

        await scope.update({ tags: ['updated'] })
        assert.deepEqual((await operator.thng(thng.id).read()).tags, ['updated'])
        await scope.property('temperature').update(21.5)
        assert.equal((await scope.property('temperature').read())[0].value, 21.5)
        const [located] = await scope.locations().update({ latitude: 36, longitude: -17.3 })
        assert.deepEqual(located.position, { type: 'Point', coordinates: [-17.3, 36] })
        const action = await scope.action('scans').create()
        assert.deepEqual([action.type, action.thng], ['scans', thng.id])
      })

      test('a device keeps its key until it is taken away', async () => {
        const { thng, scope } = await device()
        const path = '/auth/evrythng/thngs'
        const document = { thngId: thng.id, thngApiKey: scope.apiKey }
        assert.deepEqual(await rest('POST', path, { thngId: thng.id }), { status: 201, body: document })
        assert.deepEqual(await rest('GET', `${path}/${thng.id}`), { status: 200, body: document })
        assert.equal((await rest('DELETE', `${path}/${thng.id}`)).status, 200)
        assert.equal((await rest('GET', `${path}/${thng.id}`)).status, 404)
        assert.equal((await refusal(scope.read())).status, 403)
      })

      if (settings.apiVersion === 2) {
        test('an access token may do what its policies say', async () => {
          const policy = await operator.accessPolicy()
            .create({ name: unique('policy'), permissions: ['thngs:create,read', 'products:list'] })
          assert.deepEqual(policy.permissions, ['thngs:create,read', 'products:list'])
          const document = { name: unique('token'), policies: [policy.id], conditions: [] }
          const created = await operator.accessToken().create(document)
          assert.deepEqual(like(created, document), document)
          assert.match(created.apiKey, KEY)

          const token = new evrythng.AccessToken(created.apiKey)
          const { account, actor } = await within('the token', token.init())
          assert.equal(account, (await access(key)).account)
          assert.equal(actor.type, 'accessToken')

          const thng = await token.thng().create({ name: unique('thng') })
          assert.equal((await token.thng(thng.id).read()).id, thng.id)
          assert.ok(Array.isArray(await token.product().read()))
          for (const call of [
            () => token.thng().read(),
            () => token.thng(thng.id).update({ name: 'other' }),
            () => token.thng(thng.id).delete(),
            () => token.product().create({ name: 'product' }),
            () => token.collection().read()
          ]) assert.equal((await refusal(call())).status, 403, `${call}`)
        })

        test('there are no two access policies of one name, and a deleted one is gone', async () => {
          const document = { name: unique('policy'), permissions: ['thngs:*'] }
          const policy = await operator.accessPolicy().create(document)
          assert.equal((await refusal(operator.accessPolicy().create(document))).status, 409)
          const updated = await operator.accessPolicy(policy.id).update({ permissions: ['places:list'] })
          assert.deepEqual(updated.permissions, ['places:list'])
          assert.deepEqual(ids(await operator.accessPolicy().setFilter(`name=${document.name}`).read()), [policy.id])
          await operator.accessPolicy(policy.id).delete()
          assert.equal((await refusal(operator.accessPolicy(policy.id).read())).status, 404)
        })
      }
    })

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

    describe('collections', () => {
      test('thngs are put in and taken out, and the collection does not change', async () => {
        const collection = await operator.collection().create({ name: unique('collection') })
        const thngs = []
        for (const name of ['1', '2', '3']) thngs.push(await operator.thng().create({ name }))
        const members = () => operator.collection(collection.id).thng()
        const listed = async () => ids(await members().read()).sort()

        const answer = await members().update(ids(thngs))
        assert.equal(answered.status, 200)
        assert.deepEqual([answer.id, answer.updatedAt], [collection.id, collection.updatedAt])
        await members().update([thngs[0].id])
        assert.deepEqual(await listed(), ids(thngs).sort())
        for (const { collections } of await members().read()) assert.deepEqual(collections, [collection.id])
        assert.deepEqual((await operator.thng(thngs[0].id).read()).collections, [collection.id])
        assert.equal((await operator.collection(collection.id).read()).updatedAt, collection.updatedAt)

        await operator.collection(collection.id).thng(thngs[0].id).delete()
        assert.equal(answered.status, 200)
        assert.deepEqual(await listed(), ids(thngs.slice(1)).sort())
        await members().delete()
        assert.deepEqual(await listed(), [])
        assert.equal((await operator.thng(thngs[1].id).read()).name, '2', 'what was taken out is still there')
        assert.deepEqual((await operator.thng(thngs[1].id).read()).collections ?? [], [])
      })

      test('collections are put into collections, but not into themselves', async () => {
        const parent = await operator.collection().create({ name: unique('parent') })
        const child = await operator.collection().create({ name: unique('child') })
        await operator.collection(parent.id).collection().create([child.id])
        assert.equal(answered.status, 200)
        assert.deepEqual(ids(await operator.collection(parent.id).collection().read()), [child.id])
        assert.deepEqual((await operator.collection(child.id).read()).collections, [parent.id])
        assert.equal((await refusal(operator.collection(child.id).collection().create([parent.id]))).status, 400)
        assert.equal((await refusal(operator.collection(child.id).collection().create([child.id]))).status, 400)
        await operator.collection(parent.id).collection(child.id).delete()
        assert.deepEqual(await operator.collection(parent.id).collection().read(), [])
      })

      test('what was in a deleted collection is in it no more', async () => {
        const collection = await operator.collection().create({ name: unique('collection') })
        const thng = await operator.thng().create({ name: unique('thng') })
        await operator.collection(collection.id).thng().update([thng.id])
        await operator.collection(collection.id).delete()
        assert.deepEqual((await operator.thng(thng.id).read()).collections ?? [], [])
      })
    })

    describe('lists', () => {
      const name = unique('a b&c')
      const escaped = name.replaceAll('&', '\\&')
      let pagesProject, all, named

      before(async () => {
        pagesProject = (await operator.project().create({ name: unique('pages') })).id
        all = []
        // Two that a filter which breaks at the `&` would take for the others.
        for (const one of [name, name, 'a b', name, name, name, `${name}d`, name, name]) {
          all.push(await operator.thng().setProject(pagesProject).create({ name: one }))
        }
        named = all.filter(thng => thng.name === name)
        assert.equal(named.length, 7)
      })

      const newestFirst = documents => ids(documents).reverse()

      for (const sortOrder of ['DESCENDING', 'ASCENDING']) {
        for (const filtered of [false, true]) {
          test(`page by page, ${sortOrder.toLowerCase()}, ${filtered ? 'with' : 'without'} a filter`, async () => {
            const params = { project: pagesProject, perPage: 2, sortOrder }
            if (filtered) params.filter = `name=${escaped}`
            const pages = []
            for await (const page of operator.thng().pages({ params })) pages.push(ids(page))
            const wanted = filtered ? named : all
            assert.deepEqual(pages.flat(), sortOrder === 'ASCENDING' ? ids(wanted) : newestFirst(wanted))
            assert.deepEqual(pages.map(page => page.length), filtered ? [2, 2, 2, 1] : [2, 2, 2, 2, 1])
          })
        }
      }

      test('newest first where nothing is said', async () => {
        assert.deepEqual(ids(await operator.thng().setProject(pagesProject).read()), newestFirst(all))
      })

      test('a list that fits on a page, or on several to the last place, has no page after it', async () => {
        for (const [perPage, count] of [[9, 1], [3, 3], [100, 1]]) {
          const iterator = operator.thng().pages({ params: { project: pagesProject, perPage } })
          for (let n = 0; n < count; n += 1) assert.equal((await iterator.next()).done, false)
          assert.deepEqual(await iterator.next(), { value: undefined, done: true }, `${perPage} a page`)
        }
      })

      test('pages as whole responses', async () => {
        const params = { project: pagesProject, perPage: 4 }
        const links = []
        const seen = []
        for await (const response of operator.thng().pages({ params, fullResponse: true })) {
          links.push(response.headers.get('link'))
          seen.push(...ids(await response.json()))
        }
        assert.deepEqual(seen, newestFirst(all))
        assert.deepEqual(links.map(link => link !== null), [true, true, false])
        for (const link of links.slice(0, 2)) assert.match(link, /^<[0-9A-Za-z%._~-]+>; rel="next"$/)
      })

      const filtered = () => operator.thng().setProject(pagesProject).setPerPage(2).setFilter(`name=${escaped}`)

      test('a stream of one after the other', async () => {
        const seen = []
        await filtered().stream(async (thng, index) => { seen.push([thng.id, index]) })
        assert.deepEqual(seen, newestFirst(named).map((id, index) => [id, index]))
      })

      test('a stream that ends when it is told to', async () => {
        const seen = []
        await filtered().stream(async (thng, index) => { seen.push(thng.id); return index === 4 })
        assert.deepEqual(seen, newestFirst(named).slice(0, 5))
      })

      test('a stream of pages', async () => {
        const seen = []
        await filtered().streamPages(async (page, before) => { seen.push([page.length, before]) })
        assert.deepEqual(seen, [[2, 0], [2, 2], [2, 4], [1, 6]])
      })

      test('actions page by page', async () => {
        const { id } = named[0]
        const created = []
        for (let n = 0; n < 5; n += 1) created.push(await operator.action('scans').create({ thng: id }))
        const seen = []
        const params = { perPage: 2, filter: `thng=${id}` }
        for await (const page of operator.action('all').pages({ params })) seen.push(ids(page))
        assert.deepEqual(seen.flat(), newestFirst(created))
        assert.deepEqual(seen.map(page => page.length), [2, 2, 1])
      })

      test('a history page by page', async () => {
        const property = operator.thng(named[0].id).property('count')
        for (let n = 0; n < 5; n += 1) await property.update([{ value: n, timestamp: 1_500_000_000_000 + n }])
        const values = []
        for await (const page of property.pages({ params: { perPage: 2 } })) values.push(page.map(({ value }) => value))
        assert.deepEqual(values, [[4, 3], [2, 1], [0]])
      })
    })

    describe('find and upsert', () => {
      test('by a name with a raw &', async () => {
        const name = unique('1 2&3')
        const thngs = []
        for (const one of [name, '1 2', name]) thngs.push(await operator.thng().create({ name: one }))
        assert.deepEqual(ids(await operator.thng().find(name)), [thngs[2].id, thngs[0].id])
      })

      test('by an identifier with a raw & in its value', async () => {
        const gs1 = unique('1 2&3')
        const thngs = []
        for (const value of [gs1, '1 2', `${gs1}4`]) {
          thngs.push(await operator.thng().create({ name: 'thng', identifiers: { gs1: value } }))
        }
        assert.deepEqual(ids(await operator.thng().find({ gs1 })), [thngs[0].id])
        assert.deepEqual(await operator.thng().find({ gs1: unique('1 2&4') }), [])
      })

      for (const [by, identifiers] of [['name', undefined], ['identifier', { 'gs1:21': unique('1 2&3') }]]) {
        test(`upsert by ${by} creates, updates, and updates the newest of several when told to`, async () => {
          const name = unique('upsert')
          const upsertKey = identifiers ?? name
          const upsert = (tags, plural) => operator.thng().upsert({ name, identifiers, tags }, upsertKey, plural)

          const created = await upsert(['1'])
          assert.equal(answered.status, 201)
          const updated = await upsert(['2'])
          assert.deepEqual([updated.id, updated.tags], [created.id, ['2']])
          assert.notEqual(updated.createdAt, updated.updatedAt)

          const twin = await operator.thng().create({ name, identifiers })
          await assert.rejects(upsert(['3']), /More than one/)
          const newest = await upsert(['3'], true)
          assert.deepEqual([newest.id, newest.tags], [twin.id, ['3']])
          assert.deepEqual((await operator.thng(created.id).read()).tags, ['2'])
        })
      }
    })

    describe('projects', () => {
      test('an application sees the products of its project, and no others', async () => {
        const inside = await operator.product().setProject(project.id).create({ name: unique('inside') })
        const outside = await operator.product().create({ name: unique('outside') })
        for (const scope of [application, trusted, await anonymousUser()]) {
          const listed = ids(await scope.product().read())
          assert.ok(listed.includes(inside.id) && !listed.includes(outside.id))
          assert.equal((await scope.product(inside.id).read()).id, inside.id)
          assert.equal((await refusal(scope.product(outside.id).read())).status, 404)
        }
      })

      test('an operator sees all, or one project', async () => {
        const inside = await operator.thng().setProject(project.id).create({ name: unique('inside') })
        const outside = await operator.thng().create({ name: unique('outside') })
        const listed = ids(await operator.thng().setProject(project.id).read())
        assert.ok(listed.includes(inside.id) && !listed.includes(outside.id))
        assert.equal((await operator.thng(outside.id).read()).id, outside.id)
      })

      test("what a user creates is theirs in their application's project", async () => {
        const [user, other] = [await anonymousUser(), await anonymousUser()]
        const thng = await user.thng().create({ name: unique('thng') })
        const { scopes } = await operator.thng(thng.id).setWithScopes().read()
        assert.deepEqual(scopes, { projects: [project.id], users: [user.id] })
        assert.equal((await refusal(other.thng(thng.id).read())).status, 404)
        assert.equal((await trusted.thng(thng.id).read()).id, thng.id)

        await operator.thng(thng.id).rescope([project.id], ['all'])
        assert.equal((await other.thng(thng.id).read()).id, thng.id)
        await operator.thng(thng.id).rescope([])
        assert.equal((await refusal(user.thng(thng.id).read())).status, 404)
      })

      test('a key may do what its kind may', async () => {
        const user = await anonymousUser()
        const thng = await user.thng().create({ name: unique('thng') })
        assert.equal((await refusal(user.thng(thng.id).delete())).status, 403)
        await trusted.thng(thng.id).delete()
        for (const path of ['/thngs', '/products']) {
          assert.equal((await rest('POST', path, { name: 'x' }, application.apiKey)).status, 403)
        }
        assert.equal((await rest('GET', '/projects', undefined, trusted.apiKey)).status, 403)
      })

      test('with a deleted project go its applications and their keys', async () => {
        const doomed = await operator.project().create({ name: unique('doomed') })
        const app = await operator.project(doomed.id).application().create({ name: 'app', socialNetworks: {} })
        assert.equal((await access(app.appApiKey)).project, doomed.id)
        await operator.project(doomed.id).delete()
        assert.equal((await rest('GET', '/access', undefined, app.appApiKey)).status, 403)
      })
    })

    test('an action application visits pages as one and the same user', async t => {
      const stored = new Map()
      const globals = {
        window: { location: { href: 'https://example.com/page' } },
        localStorage: { getItem: item => stored.get(item), setItem: (item, value) => stored.set(item, value) }
      }
      for (const [global, value] of Object.entries(globals)) {
        const before = Object.getOwnPropertyDescriptor(globalThis, global)
        Object.defineProperty(globalThis, global, { value, configurable: true, writable: true })
        t.after(() => before ? Object.defineProperty(globalThis, global, before) : delete globalThis[global])
      }
      const type = `_${randomUUID()}`
      await operator.actionType().setProject(project.id).create({ name: type })
      const actionApp = new evrythng.ActionApp(application.appApiKey)
      await within('the action application', actionApp.init())
      const action = await actionApp.createAction(type, { foo: 'bar' })
      assert.deepEqual([action.type, action.customFields], [type, { foo: 'bar' }])
      assert.equal(action.createdByApp, application.id)

      const again = new evrythng.ActionApp(application.appApiKey)
      await within('the action application', again.init())
      assert.equal(again.anonUser.apiKey, actionApp.anonUser.apiKey)
    })
  })
}
