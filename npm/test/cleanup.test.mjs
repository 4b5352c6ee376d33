/**
 * What a program leaves behind when it ends its calls, and what frameworks do to its objects.
 */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, afterEach, test } from 'node:test'

import { reactive } from '@vue/reactivity'

import { Broker } from './broker.mjs'
import { project } from './project.mjs'

const user = await project('cleanup')
const PubSub = user.require('thng-pubsub')
const broker = await Broker.start()
const KEY = 'A'.repeat(80)

afterEach(() => PubSub.close())
after(() => broker.stop())

const operator = () => new PubSub.Operator(KEY, { apiUrl: broker.apiUrl })

test('scopes, resources, handles and iterators work behind the proxies of Vue', async () => {
  const state = reactive({ operator: operator() })
  const bare = reactive(operator())
  for (const scope of [state.operator, bare]) {
    const resources = reactive({ thng: scope.thng('U1'), type: scope.actionType('_x') })
    const property = reactive(resources.thng.property('k'))
    assert.equal(scope.apiKey, KEY)
    const received = []
    const handle = reactive(await property.subscribe(([{ value }]) => received.push(value)))
    const messages = reactive(property.messages())
    const first = messages.next()
    await (await property.subscribe(() => {})).close()
    await property.publish(1, { qos: 1 })
    assert.equal((await first).value[0].value, 1)
    assert.deepEqual(received, [1])
    await handle.close()
    await messages.return()
    await property.update(2)
    await resources.type.create()
    assert.deepEqual(broker.requests.at(-1).body, { name: '_x' })
    await property.unsubscribe()
  }
})

test('fifteen subscriptions on one signal are no leak to Node.js', async () => {
  const warnings = []
  const listener = (warning) => warnings.push(warning)
  process.on('warning', listener)
  const controller = new AbortController()
  const { signal } = controller
  const thng = operator().thng('U1')
  await Promise.all(Array.from({ length: 15 }, (_, n) => thng.property(`p${n}`).subscribe(() => {}, { signal })))
  await Promise.all(Array.from({ length: 15 }, (_, n) => thng.property(`p${n}`).publish(n, { signal, qos: 1 })))
  await new Promise(setImmediate)
  controller.abort()
  await broker.until('end of all', () => broker.packets('unsubscribe').length >= 15)
  process.off('warning', listener)
  assert.deepEqual(warnings, [])
})

/** Each leaves calls that nothing waits for, as the clean-up of a component does. */
const CLEAN_UPS = {
  'unsubscribe() right behind subscribe()': `property.subscribe(() => {}); property.unsubscribe()`,
  'a signal': `const c = new AbortController(); property.subscribe(() => {}, { signal: c.signal }); c.abort()`,
  'a signal of everything': `const c = new AbortController(); const { signal } = c
    property.publish(1, { qos: 1, signal }); property.read({ signal }); property.messages({ signal }); c.abort()`,
  'close() while calls are under way': `property.subscribe(() => {}); property.publish(1, { qos: 1 }); setTimeout(PubSub.close)`,
  'unsubscribe() of nothing': `property.unsubscribe(() => {})`,
  'unsubscribe() after close()': `property.subscribe(() => {}).then(PubSub.close).then(() => { property.unsubscribe() })`,
  'a handle that is closed after close()': `property.subscribe(() => {}).then((it) => PubSub.close().then(() => { it.close() }))`
}

for (const [name, calls] of Object.entries(CLEAN_UPS)) {
  test(`nothing is unhandled: ${name}`, async () => {
    const program = `const PubSub = require('thng-pubsub')
      const settings = { apiUrl: '${broker.apiUrl}', idleTimeout: 100 }
      const property = new PubSub.Operator('${KEY}', settings).thng('U1').property('k')
      ${calls}`
    await writeFile(join(user.folder, 'cleanup.cjs'), program)
    const { code, stderr } = await user.run(process.execPath, ['cleanup.cjs'])
    assert.deepEqual([code, stderr], [0, ''])
  })
}

test('what the program has not ended itself is still unhandled', async () => {
  const program = `const PubSub = require('thng-pubsub')
    new PubSub.Operator('${KEY}', { apiUrl: 'ftp://x' }).thng('U1').publish(1)`
  await writeFile(join(user.folder, 'unhandled.cjs'), program)
  const { code, stderr } = await user.run(process.execPath, ['unhandled.cjs'])
  assert.equal(code, 1)
  assert.match(stderr, /BAD_URL/)
})
