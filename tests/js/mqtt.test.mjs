// npm `mqtt`, in its current version and in those that older devices and SDKs bring along, over TCP and over WebSocket,
// both plain and over TLS.

import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'

import mqtt2 from 'mqtt-2'
import mqtt3 from 'mqtt-3'
import mqtt4 from 'mqtt-4'
import mqtt5 from 'mqtt'

import { durableExercise, exercise } from './exercise.mjs'
import {
  Events, ca, createThng, key, mqttUrl, mqttsUrl, newest, next, rest, within, wrongKey, wsUrl, wssUrl
} from './server.mjs'

const VERSIONS = { 'mqtt 5': mqtt5, 'mqtt 4.3.8': mqtt4, 'mqtt 3.0.0': mqtt3, 'mqtt 2.18.9': mqtt2 }
const URLS = { TCP: mqttUrl, WebSocket: `${wsUrl}/mqtt`, TLS: mqttsUrl, 'WebSocket over TLS': `${wssUrl}/mqtt` }
const PROTOCOLS = [{ protocolVersion: 4 }, { protocolVersion: 3, protocolId: 'MQIsdp' }]

// As in the product description's example, with the certificate that TLS needs.
const opts = { username: 'authorization', password: key, ca }

/** What a method hands to its callback. */
const promised = (client, method, ...args) =>
  new Promise((resolve, reject) => {
    client[method](...args, (error, result) => (error ? reject(error) : resolve(result)))
  })

/** A client for the exercise. It reconnects by itself, and subscribes again by itself where the session is clean. */
async function exercised (mqtt, url, { clientId, isClean, protocolVersion, protocolId }) {
  const settings = { clientId, clean: isClean, resubscribe: isClean, protocolVersion, protocolId }
  const client = mqtt.connect(url, { ...opts, ...settings, reconnectPeriod: 20 })
  // Version 3 tells of each attempt that ends in TLS's handshake, where others keep that to themselves and try again too.
  client.on('error', () => {})
  const connects = new Events(client, 'connect')
  await connects.take()
  return {
    messages: new Events(client, 'message'),
    async subscribe (topic, qos) {
      const [granted] = await promised(client, 'subscribe', topic, { qos })
      // Up to version 4 the client shows a refusal as this QoS.
      if (granted.qos === 128) throw new Error('refused')
      assert.equal(granted.qos, qos)
    },
    publish: (topic, payload) => promised(client, 'publish', topic, payload, { qos: 1 }),
    back: async () => (await connects.take())[0].sessionPresent,
    close: () => new Promise(resolve => client.end(true, resolve))
  }
}

for (const [version, mqtt] of Object.entries(VERSIONS)) {
  for (const [transport, url] of Object.entries(URLS)) {
    describe(`${version} over ${transport}`, () => {
      const open = []
      after(() => open.forEach(client => client.end(true)))

      async function connect (options = {}) {
        const client = mqtt.connect(url, { ...opts, reconnectPeriod: 0, ...options })
        open.push(client)
        await next(client, 'connect')
        return client
      }

      const call = (client, method, ...args) => within(method, promised(client, method, ...args))

      test('the example: connect, subscribe, and be told of updates', async () => {
        const thng = await createThng()
        const topic = `/thngs/${thng}/properties`
        const client = await connect()
        const messages = new Events(client, 'message')
        const [granted] = await call(client, 'subscribe', topic)
        assert.deepEqual([granted.topic, granted.qos], [topic, 0])

        const stored = await rest('PUT', topic, [{ key: 'a', value: 1 }, { key: 'b', value: 'x' }])
        const [onTopic, payload] = await messages.take()
        assert.equal(onTopic, topic)
        assert.deepEqual(JSON.parse(payload), stored.body)
      })

      for (const protocol of PROTOCOLS) {
        test(`publishes at QoS 0 and 1 are stored and come back, protocol ${protocol.protocolVersion}`, async () => {
          const thng = await createThng()
          const topic = `/thngs/${thng}/properties/temperature`
          const client = await connect({ ...protocol, clientId: `evrythng-pubsub.js_${Date.now()}` })
          const messages = new Events(client, 'message')
          await call(client, 'subscribe', topic, { qos: 1 })
          for (const qos of [0, 1]) {
            await call(client, 'publish', topic, JSON.stringify([{ value: 37.2 + qos }]), { qos })
            const [, payload, packet] = await messages.take()
            assert.equal(JSON.parse(payload)[0].value, 37.2 + qos)
            assert.equal(packet.retain, false)
          }
          assert.equal(await newest(thng, 'temperature'), 38.2)
        })
      }

      test('a hundred publishes at QoS 1 are stored in their order', async () => {
        const thng = await createThng()
        const topic = `/thngs/${thng}/properties/count`
        const client = await connect()
        const messages = new Events(client, 'message')
        await call(client, 'subscribe', topic, { qos: 1 })
        const numbers = Array.from({ length: 100 }, (_, n) => n)
        await Promise.all(numbers.map(n => call(client, 'publish', topic, JSON.stringify([{ value: n }]), { qos: 1 })))
        const heard = []
        for (const _ of numbers) heard.push(JSON.parse((await messages.take())[1])[0].value)
        assert.deepEqual(heard, numbers)
        assert.equal(await newest(thng, 'count'), 99)
      })

      test('with pubStates a handler that is registered after the subscribe callback gets the state', async () => {
        const thng = await createThng()
        const topic = `/thngs/${thng}/properties/temperature`
        await rest('PUT', topic, [{ value: 'initial' }])
        const client = await connect()
        await call(client, 'subscribe', `${topic}?pubStates=1`)
        const [onTopic, payload, packet] = await new Events(client, 'message').take()
        assert.equal(onTopic, `${topic}?pubStates=1`)
        assert.equal(JSON.parse(payload)[0].value, 'initial')
        assert.equal(packet.retain, false)
      })

      test('after unsubscribe nothing more arrives on that topic', async () => {
        const thng = await createThng()
        const topic = `/thngs/${thng}/properties/k`
        const client = await connect()
        const messages = new Events(client, 'message')
        await call(client, 'subscribe', [topic, topic.slice(1)])
        await call(client, 'unsubscribe', topic)
        await rest('PUT', topic, [{ value: 1 }])
        await rest('PUT', topic, [{ value: 2 }])
        const topics = [(await messages.take())[0], (await messages.take())[0]]
        assert.deepEqual(topics, [topic.slice(1), topic.slice(1)])
        assert.equal(messages.waiting, 0)
      })

      test('a key that nobody knows is refused as not authorised', async () => {
        const client = mqtt.connect(url, { ...opts, password: wrongKey, reconnectPeriod: 0 })
        open.push(client)
        const [error] = await next(client, 'error')
        assert.equal(error.code, 5, `${error}`)
      })

      test('a publish that is refused for good costs no connection', async () => {
        const thng = await createThng()
        const [good, bad] = [`/thngs/${thng}/properties/k`, `/thngs/${thng}/properties/not%20a%20key`]
        const client = await connect({ reconnectPeriod: 20 })
        const events = []
        for (const type of ['connect', 'reconnect', 'close', 'offline', 'disconnect', 'error']) {
          client.on(type, () => events.push(type))
        }
        const messages = new Events(client, 'message')
        await call(client, 'subscribe', good, { qos: 1 })
        const value = n => JSON.stringify([{ value: n }])
        await Promise.all([
          call(client, 'publish', good, value(1), { qos: 1 }),
          call(client, 'publish', bad, value(2), { qos: 1 }),
          call(client, 'publish', good, '[{', { qos: 1 }),
          call(client, 'publish', `/thngs/U00000000000000000000000/properties/k`, value(3), { qos: 2 }),
          call(client, 'publish', good, value(4), { qos: 1 })
        ])
        const heard = [await messages.take(), await messages.take()]
        assert.deepEqual(heard.map(([, payload]) => JSON.parse(payload)[0].value), [1, 4])
        assert.deepEqual(events, [])
        assert.equal(client.connected, true)
      })

      test('a client that asks is answered with the reason of a refused publish', async () => {
        const client = await connect()
        const messages = new Events(client, 'message')
        await call(client, 'subscribe', '$thng-pubsub/rejections')
        await call(client, 'publish', '/thngs/U00000000000000000000000/properties/k', '1', { qos: 1 })
        const [topic, payload] = await messages.take()
        const { status, reason, errors } = JSON.parse(payload)
        assert.equal(topic, '$thng-pubsub/rejections')
        assert.deepEqual([status, reason, errors], [404, 'not_found', ['The requested resource was not found.']])
      })

      for (const protocol of PROTOCOLS) {
        describe(`with protocol ${protocol.protocolVersion}`, () => {
          const { host, protocol: scheme, pathname } = new URL(url)
          const reach = at => exercised(mqtt, `${scheme}//${at.host}:${at.port}${pathname}`, { ...protocol, ...at })
          exercise(host, reach)
          // The CONNACK of MQTT 3.1 has no place for it.
          durableExercise(host, reach, { tellsOfSession: protocol.protocolVersion === 4 })
        })
      }
    })
  }
}
