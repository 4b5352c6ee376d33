/**
 * TLS as our own server has it, with the certificate that it makes for development: the SDK in Node.js by every kind of
 * address. Pages over HTTPS are in `https.test.mjs`, and what a TLS proxy in front does in `tcp.test.mjs`.
 */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, test } from 'node:test'
import { inspect } from 'node:util'

import { project } from './project.mjs'
import { clientPem, createThng, httpsUrl, key, mqttsUrl, rest, url } from './server.mjs'

const user = await project('tls')
const PubSub = user.require('thng-pubsub')
// What fails in these tests is the first connection.
PubSub.setup({ retryFirstConnection: false })
const DEFAULTS = { ...PubSub.settings }
const ca = await clientPem()

/** Every address of the SDK that is one of TLS. REST is at another one, since only the socket has the setting `tls`. */
const ADDRESSES = {
  'MQTT over TLS': { apiUrl: mqttsUrl },
  'MQTT over TLS, by the address': { apiUrl: mqttsUrl.replace('localhost', '127.0.0.1') },
  'MQTT in a WebSocket over TLS': { apiUrl: `${httpsUrl.replace('https', 'wss')}/mqtt` },
  'the same, by the address of REST': { apiUrl: httpsUrl },
  'a native WebSocket over TLS': { apiUrl: httpsUrl, transport: 'websocket' }
}

afterEach(async () => {
  await PubSub.close()
  PubSub.setup(DEFAULTS)
})

async function property(options) {
  const { id } = await createThng()
  return new PubSub.Operator(key, { restUrl: url, ...options }).thng(id).property('k')
}

for (const [name, address] of Object.entries(ADDRESSES)) {
  test(`${name}: what is published comes back and is stored, and so do updates by REST`, async () => {
    const resource = await property({ ...address, tls: { ca } })
    const messages = resource.messages()
    const first = messages.next()
    // Behind the iterator's subscription, on the same connection.
    await (await resource.subscribe(() => {})).close()
    await resource.publish('ü'.repeat(50_000))
    assert.equal((await first).value[0].value, 'ü'.repeat(50_000))
    await rest('PUT', resource.path, [{ value: 2 }])
    assert.equal((await messages.next()).value[0].value, 2)
    await messages.return()
    const stored = await rest('GET', resource.path)
    assert.deepEqual(stored.map(({ value }) => value), [2, 'ü'.repeat(50_000)])
  })

  test(`${name}: a certificate whose authority is not known is refused`, async () => {
    const resource = await property(address)
    const error = await resource.subscribe(() => {}).then(() => assert.fail('it should be refused'), (reason) => reason)
    assert.equal(error.code, 'HANDSHAKE', inspect(error))
    assert.match(error.message, /certificate/)
    assert.doesNotMatch(inspect(error), new RegExp(key), 'the key is in no error')
  })
}

test('QoS 1 is acknowledged over TLS, a thousand times and in order', async () => {
  const resource = await property({ apiUrl: mqttsUrl, tls: { ca } })
  const heard = []
  const all = new Promise((resolve) => {
    resource.subscribe(([{ value }]) => heard.push(value) === 1000 && resolve(), { qos: 1 })
  })
  await Promise.all(Array.from({ length: 1000 }, (_, n) => resource.publish(n, { qos: 1 })))
  await all
  assert.deepEqual(heard, [...Array(1000).keys()])
})

test('MQTT over TLS closes for lack of use also without keep alive', async () => {
  const resource = await property({ apiUrl: mqttsUrl, tls: { ca }, keepAlive: 0, idleTimeout: 100 })
  const closed = new Promise((resolve) => PubSub.on('disconnected', resolve))
  await resource.publish(1, { qos: 1 })
  // Its bytes are in the buffer of the socket when it has been sent.
  await resource.publish(2)
  const { error } = await closed
  assert.equal(error.code, 'CLOSED')
})

test('a program that Node.js is told the authority of has REST and everything else over TLS', async () => {
  const pem = join(user.folder, 'client.pem')
  await writeFile(pem, ca)
  const source = `
    const PubSub = require('thng-pubsub')
    const evrythng = require('evrythng')
    const { KEY, HTTPS, MQTTS } = process.env
    async function roundTrip(resource) {
      const back = new Promise((resolve) => resource.subscribe(([{ value }]) => resolve(value)).then(() => resource.publish(5)))
      return back
    }
    async function main() {
      const own = new PubSub.Operator(KEY, { apiUrl: HTTPS })
      const { id } = await own.thng().create({ name: 'made over HTTPS' })
      const { name } = await own.thng(id).read()
      const seen = [name, await roundTrip(own.thng(id).property('a'))]
      seen.push(await roundTrip(new PubSub.Operator(KEY, { apiUrl: MQTTS, restUrl: HTTPS }).thng(id).property('b')))
      evrythng.setup({ apiUrl: HTTPS, apiVersion: 1, geolocation: false })
      evrythng.use(PubSub)
      const operator = new evrythng.Operator(KEY)
      await operator.init()
      seen.push(await roundTrip(operator.thng(id).property('c')))
      console.log(JSON.stringify(seen))
      await PubSub.close()
    }
    main()
  `
  await writeFile(join(user.folder, 'https.cjs'), source)
  const env = { KEY: key, HTTPS: httpsUrl, MQTTS: mqttsUrl, NODE_EXTRA_CA_CERTS: pem }
  const { code, stdout, stderr } = await user.run(process.execPath, ['--unhandled-rejections=strict', 'https.cjs'], env)
  assert.deepEqual([code, stdout, stderr], [0, '["made over HTTPS",5,5,5]\n', ''])
})
