/**
 * The standalone API of the packed SDK against our own server: scopes and resources, by REST and by messages, without
 * evrythng.js.
 */
import assert from 'node:assert/strict'
import { getEventListeners, once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { inspect } from 'node:util'

import { project } from './project.mjs'
import { brokerUrl, createThng, key, rest, url } from './server.mjs'

const user = await project('standalone')
const PubSub = user.require('thng-pubsub')
const operator = new PubSub.Operator(key, { apiUrl: url })
const WRONG_KEY = 'Z'.repeat(80)
const NOBODY = 'UAbcdefghkmnpqrstwxyABCD'

after(() => PubSub.close())

/** A document that the server stores with a name of its own. */
const named = (what) => ({ name: `${what} ${Math.random().toString(36).slice(2)}` })

/** Subscribes, does something, and resolves with the first message of it. */
async function messageOf(resource, act) {
  let subscription
  const message = await new Promise((resolve, reject) => {
    const subscribed = resource.subscribe(resolve).then((handle) => (subscription = handle))
    subscribed.then(act).catch(reject)
  })
  await subscription.close()
  return message
}

async function rejection(promise, code) {
  const error = await promise.then(
    (value) => assert.fail(`it should be rejected, and resolved with ${inspect(value)}`),
    (reason) => reason
  )
  assert.ok(error instanceof PubSub.PubSubError, inspect(error))
  assert.equal(error.code, code, error.message)
  assert.ok(!inspect(error, { showHidden: true, depth: 9 }).includes(key), 'no key in what people see')
  return error
}

/** A server of the test's own, which has one answer to everything. */
async function serverThat(answer) {
  const requests = []
  const server = createServer((request, response) => {
    requests.push({ method: request.method, url: request.url, headers: request.headers })
    answer(response, request)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const stop = () => {
    server.closeAllConnections()
    server.close()
  }
  return { apiUrl: `http://127.0.0.1:${server.address().port}`, requests, stop }
}

test('the path of a resource is its topic, with what a path has to escape', () => {
  const [o, id] = [operator, 'U1']
  const paths = [
    [o.thng(), '/thngs'],
    [o.thng(id), '/thngs/U1'],
    [o.thng(id).property(), '/thngs/U1/properties'],
    [o.thng(id).property('Room:1 ✓'), '/thngs/U1/properties/Room%3A1%20%E2%9C%93'],
    [o.thng(id).location(), '/thngs/U1/location'],
    [o.thng(id).action(), '/thngs/U1/actions/all'],
    [o.thng(id).action('_a/b'), '/thngs/U1/actions/_a%2Fb'],
    [o.thng(id).action('scans', 'U2'), '/thngs/U1/actions/scans/U2'],
    [o.product(), '/products'],
    [o.product(id).property('k'), '/products/U1/properties/k'],
    [o.product(id).action('scans'), '/products/U1/actions/scans'],
    [o.collection(), '/collections'],
    [o.collection(id), '/collections/U1'],
    [o.collection(id).thng(), '/collections/U1/thngs'],
    [o.collection(id).thng('U2'), '/collections/U1/thngs/U2'],
    [o.collection(id).action(), '/collections/U1/actions/all'],
    [o.action(), '/actions/all'],
    [o.action('_x'), '/actions/_x'],
    [o.actionType(), '/actions'],
    [o.actionType('_x'), '/actions/_x'],
    [o.batch(), '/batches'],
    [o.batch(id).task(), '/batches/U1/tasks'],
    [o.batch(id).task('U2'), '/batches/U1/tasks/U2']
  ]
  for (const [resource, path] of paths) assert.equal(resource.path, path)
})

test('a name that would lead to another resource is refused', () => {
  for (const name of ['', '.', '..', '\ud800']) {
    assert.throws(() => operator.thng(name), { code: 'INVALID_TOPIC' }, JSON.stringify(name))
    assert.throws(() => operator.thng('U1').property(name), { code: 'INVALID_TOPIC' })
  }
})

test('create, read, update and delete are the verbs of REST, with plain documents', async () => {
  const created = await operator.thng().create({ ...named('a lamp'), tags: ['hall'] })
  assert.match(created.id, /^\w{24}$/)
  const thng = operator.thng(created.id)
  assert.equal((await thng.read()).name, created.name)
  const updated = await thng.update({ description: 'in the hall' })
  assert.deepEqual([updated.description, updated.tags], ['in the hall', ['hall']])
  assert.deepEqual(await rest('GET', thng.path), await thng.read())
  assert.equal(Object.getPrototypeOf(updated), Object.prototype)
  assert.equal(await thng.delete(), undefined)
  const error = await rejection(thng.read(), 'REQUEST_REFUSED')
  assert.equal(error.status, 404)
})

test('a list takes parameters', async () => {
  const [one, two] = [await createThng(), await createThng()]
  const ids = (list) => list.map(({ id }) => id)
  assert.deepEqual(ids(await operator.thng().read({ params: { perPage: 1 } })), [two.id])
  assert.deepEqual(ids(await operator.thng().read({ params: { ids: [one.id, two.id], sortOrder: 'ASCENDING' } })), [one.id, two.id])
  const { name } = await operator.thng(one.id).update(named('one & only, 100 %'))
  assert.deepEqual(ids(await operator.thng().read({ params: { filter: `name=${encodeURIComponent(name)}`, project: undefined } })), [one.id])
  const [{ scopes }] = await operator.thng().read({ params: { ids: [one.id], withScopes: true } })
  assert.ok(scopes)
})

test('values of properties are written as evrythng.js writes them', async () => {
  const { id } = await createThng()
  const thng = operator.thng(id)
  const [stored] = await thng.property('a').update(5)
  assert.deepEqual([stored.key, stored.value], ['a', 5])
  await thng.property('a').update({ value: 6, timestamp: stored.timestamp + 1 })
  await thng.property('a').create('seven')
  await thng.property().update({ b: [1], c: { d: false } })
  await thng.property().update([{ key: 'e', value: 0 }])
  const latest = Object.fromEntries((await thng.property().read()).map((it) => [it.key, it.value]))
  assert.deepEqual(latest, { a: 'seven', b: [1], c: { d: false }, e: 0 })
  const history = await thng.property('a').read({ params: { perPage: 2 } })
  assert.equal(history.length, 2)
  await thng.property('a').delete()
  assert.deepEqual(await thng.property('a').read(), [])
})

test('what is published arrives as plain JSON', async () => {
  const { id } = await createThng()
  const property = operator.thng(id).property('temperature')
  const [update] = await messageOf(property, () => property.publish(21.5, { qos: 1 }))
  assert.deepEqual(Object.keys(update).sort(), ['createdAt', 'key', 'timestamp', 'value'])
  assert.equal(update.value, 21.5)
})

test('a message of each kind of topic arrives', async () => {
  const thng = operator.thng((await createThng()).id)
  const location = { latitude: 47.4, longitude: 8.5 }
  const [place] = await messageOf(thng.location(), () => thng.location().update(location))
  assert.deepEqual([place.latitude, place.longitude], [47.4, 8.5])
  const document = await messageOf(thng, () => thng.publish({ description: 'changed' }, { qos: 1 }))
  assert.equal(document.description, 'changed')
  const product = operator.product((await operator.product().create(named('a product'))).id)
  assert.equal((await messageOf(product, () => product.update({ brand: 'Lumen' }))).brand, 'Lumen')
  const [value] = await messageOf(product.property(), () => product.property('k').update(1))
  assert.deepEqual([value.key, value.value], ['k', 1])
  const collection = operator.collection((await operator.collection().create(named('a collection'))).id)
  const id = thng.path.split('/').pop()
  const change = await messageOf(collection.thng(), () => collection.thng().update([id]))
  assert.deepEqual([change.operation, change.resources], ['thngsAdded', [id]])
  const scan = await messageOf(collection.action('scans'), () => thng.action('scans').create())
  assert.deepEqual([scan.type, scan.thng], ['scans', id])
  assert.deepEqual(await thng.action('scans', scan.id).read(), scan)
  await collection.thng(id).delete()
  assert.deepEqual(await collection.thng().read(), [])
})

test('action types are made, watched, read and deleted', async () => {
  const name = `_type ${Math.random().toString(36).slice(2)}`
  const type = operator.actionType(name)
  const created = await messageOf(operator.actionType(), () => type.create({ tags: ['x'] }))
  assert.deepEqual([created.name, created.tags], [name, ['x']])
  assert.equal((await type.read()).name, name)
  assert.ok((await operator.actionType().read({ params: { perPage: 100 } })).some((it) => it.name === name))
  assert.equal((await type.update({ description: 'changed' })).description, 'changed')
  const action = await messageOf(operator.action(name), () => operator.action('all').create({ type: name }))
  assert.equal(action.type, name)
  const deleted = await messageOf(type, () => type.delete())
  assert.equal(deleted.name, name)
})

test('a task that was begun says its id, and its end is a message', async () => {
  const batch = operator.batch((await operator.batch().create(named('a batch'))).id)
  const inputParameters = { type: 'FIXED_AMOUNT', quantity: 2, thngTemplate: named('made') }
  let begun
  const task = await messageOf(batch.task(), async () => {
    begun = await batch.task().create({ type: 'POPULATING', inputParameters })
  })
  assert.deepEqual([task.id, task.status, task.result.totalThngsCreated], [begun.id, 'EXECUTED', 2])
  assert.equal((await batch.task(begun.id).read()).id, begun.id)
})

test('every kind of scope is let in with its key', async () => {
  const { id } = await operator.thng().create(named('a device'))
  const { thngApiKey } = await rest('POST', '/auth/evrythng/thngs', { thngId: id })
  const device = new PubSub.Device(thngApiKey, { apiUrl: url })
  const own = device.thng(id).property('a')
  assert.equal((await messageOf(own, () => own.publish('mine')))[0].value, 'mine')

  const { id: projectId } = await rest('POST', '/projects', named('a project'))
  const applications = `/projects/${projectId}/applications`
  const app = await rest('POST', applications, { ...named('an app'), socialNetworks: {} })
  const { secretApiKey } = await rest('GET', `${applications}/${app.id}/secretKey`)
  const product = await rest('POST', `/products?project=${projectId}`, named('a product'))
  await new PubSub.Application(app.appApiKey, { apiUrl: url }).product(product.id).read()
  const trusted = new PubSub.TrustedApplication(secretApiKey, { apiUrl: url }).product(product.id)
  assert.equal((await messageOf(trusted, () => trusted.update({ brand: 'Lumen' }))).brand, 'Lumen')

  const permissions = ['thngs:read']
  const policy = await rest('POST', '/accessPolicies', { ...named('readers'), permissions })
  const { apiKey } = await rest('POST', '/accessTokens', { ...named('a token'), policies: [policy.id] })
  await new PubSub.AccessToken(apiKey, { apiUrl: url }).thng(id).read()

  const visitor = await fetch(`${url}/auth/evrythng/users?anonymous=true`, {
    method: 'POST',
    headers: { authorization: app.appApiKey, 'content-type': 'application/json' },
    body: '{}'
  })
  const { evrythngApiKey } = await visitor.json()
  const guest = new PubSub.User(evrythngApiKey, { apiUrl: url })
  const scan = await messageOf(guest.action('scans'), () => guest.action('scans').create({ customFields: { by: 'guest' } }))
  assert.equal(scan.customFields.by, 'guest')
})

test('a refusal says what the server said', async () => {
  const { id } = await createThng()
  const cases = [
    [() => operator.thng(NOBODY).read(), 404],
    [() => operator.thng().create({}), 400],
    [() => operator.thng(id).property('a').update([]), 400],
    [() => operator.thng(id).read({ authorization: WRONG_KEY }), 403],
    [() => new PubSub.Operator(WRONG_KEY, { apiUrl: url }).thng(id).read(), 403]
  ]
  for (const [request, status] of cases) {
    const error = await rejection(request(), 'REQUEST_REFUSED')
    assert.equal(error.status, status)
    assert.ok(error.errors.length > 0)
    for (const sentence of error.errors) assert.ok(error.message.includes(sentence), error.message)
    assert.match(error.message, /\w\.$/, 'a sentence')
    assert.ok(!error.message.includes(WRONG_KEY))
  }
  const subscribed = operator.thng(NOBODY).property('a').subscribe(() => {})
  assert.equal((await rejection(subscribed, 'SUBSCRIBE_REFUSED')).topic, `/thngs/${NOBODY}/properties/a`)
})

test('a refusal that has no error document is one all the same', async () => {
  const { apiUrl, stop } = await serverThat((response) => response.writeHead(502, 'Bad Gateway').end('<html>'))
  try {
    const error = await rejection(new PubSub.Operator(key, { apiUrl }).thng().read(), 'REQUEST_REFUSED')
    assert.deepEqual([error.status, error.errors], [502, []])
    assert.match(error.message, /502.*Bad Gateway/)
  } finally {
    stop()
  }
})

test('what is no JSON, says nothing or is not there has errors of its own', async () => {
  const html = await serverThat((response) => response.end('<html>'))
  const silent = await serverThat(() => {})
  try {
    const from = (apiUrl, options) => new PubSub.Operator(key, { apiUrl, ...options }).thng()
    assert.match((await rejection(from(html.apiUrl).read(), 'PROTOCOL')).message, /no JSON/)
    await rejection(from(silent.apiUrl, { answerTimeout: 50 }).read(), 'TIMEOUT')
    silent.stop()
    const error = await rejection(from(silent.apiUrl).read(), 'HANDSHAKE')
    assert.match(error.message, /ECONNREFUSED/)
  } finally {
    html.stop()
    silent.stop()
  }
})

test('REST is found beside the broker, and the broker beside REST', async () => {
  const { id } = await createThng()
  const versioned = `${url}/v2`
  for (const options of [{ apiUrl: url }, { apiUrl: `${url}/` }, { apiUrl: versioned }, { apiUrl: brokerUrl }, { restUrl: versioned }]) {
    const property = new PubSub.Operator(key, options).thng(id).property('a')
    const [update] = await messageOf(property, () => property.update(1))
    assert.equal(update.value, 1, JSON.stringify(options))
  }
  await new PubSub.Operator(key, { apiUrl: 'mqtt://127.0.0.1:1', restUrl: url }).thng(id).read()
})

test('where REST is not known, the error says which setting says it', async () => {
  const error = await rejection(new PubSub.Operator(key, { apiUrl: 'mqtt://127.0.0.1:1' }).thng().read(), 'NO_URL')
  assert.match(error.message, /restUrl/)
  await rejection(new PubSub.Operator(key).thng().read(), 'NO_URL')
  await rejection(new PubSub.Operator(key).thng(NOBODY).subscribe(() => {}), 'NO_URL')
  await rejection(new PubSub.Operator(key, { restUrl: 'ftp://127.0.0.1' }).thng().read(), 'BAD_URL')
})

test('the settings of a scope win over those of setup(), which it has else', async () => {
  const other = await serverThat((response) => response.end('[]'))
  try {
    PubSub.setup({ apiUrl: other.apiUrl })
    const { id } = await createThng()
    assert.equal((await operator.thng(id).read()).id, id)
    assert.deepEqual(await new PubSub.Operator(key, { apiUrl: undefined }).thng(id).read(), [])
    assert.equal(other.requests.length, 1)
  } finally {
    PubSub.setup({ apiUrl: undefined })
    other.stop()
  }
})

test('a wrong setting or key of a scope is refused at once, without showing the key', () => {
  for (const options of [{ keepAlive: -1 }, { transport: 'smoke' }, { restUrl: 5 }, { tls: 'no' }]) {
    assert.throws(() => new PubSub.Operator(key, options), { code: 'BAD_SETTING' })
  }
  for (const wrong of [undefined, '', 5, `${key}\n`, `${key} ü`]) {
    assert.throws(() => new PubSub.Operator(wrong), (error) => error.code === 'BAD_SETTING' && !error.message.includes(key))
  }
})

test('the transport of a call is checked', async () => {
  const { id } = await createThng()
  await rejection(operator.thng(id).publish({ name: 'x' }, { transport: 'smoke' }), 'BAD_SETTING')
})

test('the key of a scope is not where it could be printed', () => {
  const resource = operator.thng('U1').property('a')
  assert.equal(operator.apiKey, key)
  for (const it of [operator, resource, resource.messages()]) {
    const seen = [inspect(it, { showHidden: true, depth: 9 }), JSON.stringify(it), String(it), JSON.stringify({ ...it })]
    for (const text of seen) assert.ok(!text.includes(key), text)
  }
})

test('the names of the scopes are exported too', async () => {
  const source = `
    import { Operator, Application, TrustedApplication, User, Device, AccessToken } from 'thng-pubsub'
    const names = [Operator, Application, TrustedApplication, User, Device, AccessToken].map(({ name }) => name)
    console.log(names.join())
  `
  await writeFile(join(user.folder, 'names.mjs'), source)
  const { stdout, stderr } = await user.run(process.execPath, ['names.mjs'])
  assert.equal(stdout, 'Operator,Application,TrustedApplication,User,Device,AccessToken\n', stderr)
})

test('what is missing in a call is thrown', () => {
  assert.throws(() => operator.thng('U1').update(), { code: 'NO_PAYLOAD', message: /^update\(\)/ })
  assert.throws(() => operator.thng('U1').publish(), { code: 'NO_PAYLOAD', message: /^publish\(\)/ })
  assert.throws(() => operator.thng('U1').subscribe(), { code: 'NO_CALLBACK' })
})

test('a request that is aborted rejects, before it is made and while it is under way', async () => {
  const arrived = Promise.withResolvers?.() ?? withResolvers()
  const { apiUrl, requests, stop } = await serverThat(() => arrived.resolve())
  try {
    const thng = new PubSub.Operator(key, { apiUrl }).thng()
    const reason = new Error('changed my mind')
    const early = await rejection(thng.read({ signal: AbortSignal.abort(reason) }), 'ABORTED')
    assert.deepEqual([early.name, early.cause, requests.length], ['AbortError', reason, 0])
    const controller = new AbortController()
    const promise = thng.read({ signal: controller.signal })
    await arrived.promise
    controller.abort(reason)
    assert.equal((await rejection(promise, 'ABORTED')).cause, reason)
    assert.equal(getEventListeners(controller.signal, 'abort').length, 0)
  } finally {
    stop()
  }
})

test('a request that ends leaves nothing on its signal', async () => {
  const { signal } = new AbortController()
  await operator.thng().read({ signal, params: { perPage: 1 } })
  await rejection(operator.thng(NOBODY).read({ signal }), 'REQUEST_REFUSED')
  assert.equal(getEventListeners(signal, 'abort').length, 0)
})

/** `Promise.withResolvers()`, which Node.js has since version 22. */
function withResolvers() {
  let resolve
  const promise = new Promise((it) => (resolve = it))
  return { promise, resolve }
}

test('a program that used REST and messages ends by itself after close()', async () => {
  const source = `
    const { Operator, close } = require('thng-pubsub')
    const operator = new Operator(process.env.KEY, { apiUrl: process.env.URL })
    async function main() {
      const { id } = await operator.thng().create({ name: 'a thng' })
      const property = operator.thng(id).property('a')
      const subscription = await property.subscribe(async ([{ value }]) => {
        console.log(value)
        await subscription.close()
        await close()
      })
      await property.publish(5)
    }
    main()
  `
  await writeFile(join(user.folder, 'ends.cjs'), source)
  const { code, stdout, stderr } = await user.run(process.execPath, ['--unhandled-rejections=strict', 'ends.cjs'], { KEY: key, URL: url })
  assert.deepEqual([code, stderr, stdout], [0, '', '5\n'])
})
