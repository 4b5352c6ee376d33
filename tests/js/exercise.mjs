// What every client is put through: it subscribes, publishes, is given the state, is refused, loses its connection, and
// comes back as its own documentation says. `../src/exercise.rs` is the same for clients in other languages.
//
// A test file brings the clients. `connect({ host, port, clientId, isClean })` opens a connection and gives
//
// - `subscribe(topic, qos)`: resolves when it is granted, rejects when it is refused.
// - `publish(topic, payload)`: resolves when it is sent, or acknowledged if the protocol can.
// - `messages`: Events of topic and payload.
// - `back()`: resolves when the connection was lost and there is another, subscribed again with a clean session, or
//   about to be. It says whether the server has the session.
// - `close()`.

import assert from 'node:assert/strict'
import { test } from 'node:test'

import { TcpProxy } from './proxy.mjs'
import { createThng, newest, rest, within } from './server.mjs'

/** A topic below a thng that does not exist. */
const REFUSED_TOPIC = '/thngs/Uabcdefghkmnpqrstwxy0123/properties'

/** How many values are written while a client with a durable session is away. */
const MISSED = 10

const payload = value => JSON.stringify([{ value }])

async function write (topic, value) {
  const { status } = await rest('PUT', topic, [{ value }])
  assert.equal(status, 200)
}

/** The next message is this value of this topic's property, on the string that was subscribed to. */
async function assertHears (client, topic, value) {
  const [on, document] = await client.messages.take()
  assert.deepEqual([on, JSON.parse(document)[0].value], [topic, value])
}

/** Runs `use` with a client that reaches `to` by a proxy. */
async function withClient (connect, to, isClean, use) {
  const proxy = await TcpProxy.start(to)
  const clientId = `other-${Math.random().toString(36).slice(2, 12)}`
  let client
  try {
    client = await within('the connection', connect({ host: '127.0.0.1', port: proxy.port, clientId, isClean }))
    await use(client, proxy)
  } finally {
    await client?.close()
    proxy.close()
  }
}

/** The exercise with a client that reaches the server at `to`, `host:port`. */
export function exercise (to, connect) {
  test('hears what it and others write, is given the state, is refused, and comes back', () =>
    withClient(connect, to, true, async (client, proxy) => {
      const thng = await createThng()
      const temperature = `/thngs/${thng}/properties/temperature`
      const humidity = `/thngs/${thng}/properties/humidity`
      const humidityWithState = `${humidity}?pubStates=1`
      await write(humidity, 'stored before')

      await within('the subscription', client.subscribe(temperature, 1))
      await within('the publish', client.publish(temperature, payload('published')))
      await assertHears(client, temperature, 'published')
      assert.equal(await newest(thng, 'temperature'), 'published')
      await write(temperature, 'by REST')
      await assertHears(client, temperature, 'by REST')

      await within('the subscription', client.subscribe(humidityWithState, 0))
      await assertHears(client, humidityWithState, 'stored before')
      await write(humidity, 'update')
      await assertHears(client, humidityWithState, 'update')

      await assert.rejects(within('the refusal', client.subscribe(REFUSED_TOPIC, 1)), error => !/in vain/.test(error))

      proxy.cut()
      assert.equal(await within('the way back', client.back()), false, 'nothing is kept of a clean session')
      // The state comes with every subscription, so it says that the client has subscribed again.
      await assertHears(client, humidityWithState, 'update')
      await write(temperature, 'after the cut')
      await assertHears(client, temperature, 'after the cut')
      await within('the publish', client.publish(humidity, payload('published after the cut')))
      await assertHears(client, humidityWithState, 'published after the cut')
    }))
}

/** The exercise with a session that outlives its connection. */
export function durableExercise (to, connect, { tellsOfSession }) {
  test('with a durable session misses nothing', () =>
    withClient(connect, to, false, async (client, proxy) => {
      const topic = `/thngs/${await createThng()}/properties/temperature`
      await within('the subscription', client.subscribe(topic, 1))

      proxy.shut()
      const missed = Array.from({ length: MISSED }, (_, n) => `missed ${n}`)
      for (const value of missed) await write(topic, value)
      proxy.open()

      assert.equal(await within('the way back', client.back()), tellsOfSession, 'session present')
      await write(topic, 'after')
      for (const value of [...missed, 'after']) await assertHears(client, topic, value)
    }))
}
