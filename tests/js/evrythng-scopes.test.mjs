// The scopes of npm's `evrythng` for every kind of key by REST, and what they see of a project.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { describe, test } from 'node:test'

import { refusal } from './evrythng.mjs'
import {
  access, anonymousUser, answered, application, applicationDocument, describeVersions, ID, ids,
  KEY, like, operator, project, trusted, unique
} from './evrythng-versions.mjs'
import { key, rest, within } from './server.mjs'

describeVersions(({ evrythng, settings }) => {
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

    test('a device keeps its key until it is deleted', async () => {
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
