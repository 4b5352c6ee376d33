// Collections, paged lists, and the searches of npm's `evrythng` by REST.

import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'

import { refusal } from './evrythng.mjs'
import { answered, describeVersions, ids, operator, unique } from './evrythng-versions.mjs'

describeVersions(() => {
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

    test('a stream that the callback ends', async () => {
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
})
