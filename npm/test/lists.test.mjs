/**
 * Lists: their pages, their items, their number, and filters in the server's language.
 */
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { once } from 'node:events'
import { after, before, test } from 'node:test'

import { project } from './project.mjs'
import { key, rest, url } from './server.mjs'

const user = await project('lists')
const { Operator, filter } = user.require('thng-pubsub')
const operator = new Operator(key, { apiUrl: url })

/** Something that no other test has. */
const tag = `lists ${Date.now()}`
const ours = { filter: filter({ tags: tag }) }
let thng

before(async () => {
  const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g']
  const created = []
  for (const name of names) created.push(await operator.thng().create({ name, tags: [tag], properties: { k: 1 } }))
  thng = operator.thng(created[0].id)
  for (let value = 0; value < 4; value++) await thng.property('count').update([{ value, timestamp: 1000 + value }])
})

const named = (page) => page.map(({ name }) => name).join('')

test('pages() reads page after page, and each knows the total', async () => {
  const pages = []
  const params = { ...ours, perPage: 3, sortOrder: 'ASCENDING', withTotalCount: true }
  for await (const page of operator.thng().pages({ params })) pages.push([named(page), page.total])
  assert.deepEqual(pages, [['abc', 7], ['def', 7], ['g', 7]])
})

test('pages() requests no page that nothing asks for', async () => {
  const pages = operator.thng().pages({ params: { ...ours, perPage: 3 } })
  assert.equal(named((await pages.next()).value), 'gfe')
  await pages.return()
  assert.deepEqual(await pages.next(), { value: undefined, done: true })
})

test('all() has the items of all pages, or as many as asked for', async () => {
  const list = operator.thng()
  assert.equal(named(await list.all({ params: { ...ours, perPage: 2 } })), 'gfedcba')
  assert.equal(named(await list.all({ params: { ...ours, perPage: 2 }, limit: 3 })), 'gfe')
  assert.equal(named(await list.all({ params: ours })), 'gfedcba')
  for (const limit of [-1, 0, 1.5, null, '3', NaN]) {
    await assert.rejects(list.all({ params: ours, limit }), { code: 'BAD_SETTING', message: /limit/ })
  }
})

test('total() counts what a filter finds', async () => {
  assert.equal(await operator.thng().total({ params: ours }), 7)
  assert.equal(await operator.thng().total({ params: { filter: filter({ tags: tag, name: ['a', 'b'] }) } }), 2)
})

test('every kind of list has pages, items and a total', async () => {
  const collection = await operator.collection().create({ name: 'c', tags: [tag] })
  await operator.collection(collection.id).thng().update([thng.path.split('/').pop()])
  await operator.product().create({ name: 'p', tags: [tag] })
  await thng.action('scans').create({ tags: [tag] })
  await thng.location().update([{ latitude: 1, longitude: 2 }])
  const batch = await operator.batch().create({ name: 'b', tags: [tag] })
  const lists = [
    [operator.product(), ours],
    [operator.collection(), ours],
    [operator.batch(), ours],
    [operator.action('scans'), ours],
    [operator.action(), ours],
    [thng.action('scans'), ours],
    [operator.actionType(), { filter: filter({ name: 'scans' }) }],
    [operator.collection(collection.id).thng(), {}]
  ]
  for (const [list, params] of lists) {
    const items = await list.all({ params })
    assert.equal(items.length, 1, list.path)
    assert.equal(await list.total({ params }), 1, list.path)
    assert.deepEqual((await list.pages({ params }).next()).value, items, list.path)
  }
  assert.deepEqual(await operator.batch(batch.id).task().all(), [])
  assert.deepEqual((await thng.location().all()).map(({ latitude }) => latitude), [1])
  assert.deepEqual((await thng.property('count').all({ params: { perPage: 3 } })).map(({ value }) => value), [3, 2, 1, 0])
  const since = { filter: filter({ timestamp: { '>=': 1001, '<': 1003 } }) }
  assert.deepEqual((await thng.property('count').all({ params: since })).map(({ value }) => value), [2, 1])
})

test('a refusal, an abort and another key are those of a request', async () => {
  const code = (promise) => promise.then(() => assert.fail('it should be rejected'), (error) => error.code)
  assert.equal(await code(operator.thng().all({ params: { filter: '(' } })), 'REQUEST_REFUSED')
  assert.equal(await code(operator.thng().total({ authorization: 'Z'.repeat(80) })), 'REQUEST_REFUSED')
  assert.equal(await code(operator.thng().pages({ signal: AbortSignal.abort() }).next()), 'ABORTED')
})

test('the key goes to no address that a link names', async () => {
  const asked = []
  const server = createServer((request, response) => {
    asked.push(request.url)
    const link = `<${encodeURIComponent('http://elsewhere.test/other?perPage=1&nextPageToken=t')}>; rel="next"`
    response.writeHead(200, { 'content-type': 'application/json', ...(asked.length === 1 && { link }) }).end('[1]')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  after(() => server.close())
  const other = new Operator(key, { apiUrl: `http://127.0.0.1:${server.address().port}` })
  assert.deepEqual(await other.thng().all({ params: { perPage: 1 } }), [1, 1])
  assert.deepEqual(asked, ['/thngs?perPage=1', '/thngs?perPage=1&nextPageToken=t'])
  server.closeAllConnections()
})

const FILTERS = [
  [[{ name: 'Lamp 7' }], 'name=Lamp 7'],
  [[{ tags: ['hall', 'lobby'], 'customFields.floor': { '>': 2, '<=': 4 } }], 'tags=hall,lobby&customFields.floor>2&customFields.floor<=4'],
  [[{ tags: { '!=': ['a', 'b'] }, name: { '~': 'x' } }], 'tags!=a,b&name~x'],
  [[{ createdAt: { '>=': new Date(5) }, name: undefined, 'customFields.on': true }], 'createdAt>=5&customFields.on=true'],
  [[{ createdAt: { '>=': 5, '<': undefined } }], 'createdAt>=5'],
  [[{ 'customFields.n': 12345678901234567890n }], 'customFields.n=12345678901234567890'],
  [[{ tags: 'hall' }, filter.any({ name: 'A' }, { name: 'B', tags: 'x' })], 'tags=hall&(name=A|name=B&tags=x)'],
  [[{ name: 'R&D=a,b|c(d)!~<>\\' }], 'name=R\\&D\\=a\\,b\\|c\\(d\\)\\!\\~\\<\\>\\\\']
]

for (const [parts, expected] of FILTERS) {
  test(`a filter is written as ${expected}`, () => assert.equal(filter(...parts), expected))
}

test('a filter that cannot be meant is refused', () => {
  for (const part of [{}, { name: [] }, { name: null }, { name: { '==': 1 } }, { name: NaN }, { name: {} }, { name: () => 1 }]) {
    assert.throws(() => filter(part), { code: 'BAD_SETTING' })
  }
  // It would match everything.
  for (const make of [filter, filter.any]) assert.throws(() => make(), { code: 'BAD_SETTING', message: /no part/ })
})

test('the server finds any name and any key by its filter', async () => {
  const names = ['R&D = a,b|c', '(un)balanced)', '!~<>=', 'back\\slash\\', ' spaces ', '%2C', 'ünï 😀', '\\&', 'a=b']
  for (const name of names) {
    const identifiers = { [`k ${name.replace(/[^a-z&=,()|]/g, '')}`]: name }
    const { id } = await operator.thng().create({ name, tags: [tag], identifiers })
    const [[identifier]] = Object.entries(identifiers)
    for (const terms of [{ name }, { [`identifiers.${identifier}`]: name }, { name: ['nothing', name] }]) {
      const found = await operator.thng().all({ params: { filter: filter({ tags: tag, ...terms }) } })
      assert.deepEqual(found.map((each) => each.id), [id], filter(terms))
    }
    await operator.thng(id).delete()
  }
})

test('filters that are joined find what each part says', async () => {
  const find = async (...parts) => named(await operator.thng().all({ params: { filter: filter({ tags: tag }, ...parts) } }))
  assert.equal(await find(filter.any({ name: 'a' }, { name: 'c' })), 'ca')
  assert.equal(await find(filter.any({ name: ['a', 'b'] }, { name: 'g' }), { name: { '!=': 'b' } }), 'ga')
  assert.equal((await rest('GET', `/thngs?filter=${encodeURIComponent(filter({ tags: tag, name: { '~': 'A' } }))}`)).length, 1)
})
