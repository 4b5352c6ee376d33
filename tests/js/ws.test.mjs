// npm `ws` as a native WebSocket on a topic, and the global WebSocket of browsers and newer Node.js.

import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { test } from 'node:test'

import WebSocket from 'ws'

import { exercise } from './exercise.mjs'
import { Events, createThng, httpUrl, key, newest, next, rest, within, wrongKey, wsUrl } from './server.mjs'

/** An open socket and its messages. */
async function open (path, options) {
  const socket = new WebSocket(wsUrl + path, options)
  const messages = new Events(socket, 'message')
  await next(socket, 'open')
  return { socket, take: async () => JSON.parse((await messages.take())[0]) }
}

/** The HTTP status of a handshake that is refused. */
async function refusal (path, options) {
  const socket = new WebSocket(wsUrl + path, options)
  socket.on('error', () => {})
  const [request, response] = await next(socket, 'unexpected-response')
  request.destroy()
  return response.statusCode
}

/** A client for the exercise: a socket for each topic, and a new one in the place of each that was lost. */
async function exercised ({ host, port }) {
  const heard = new EventEmitter()
  const reopened = new Events(heard, 'reopened')
  const sockets = new Map()
  async function subscribe (topic) {
    const socket = new WebSocket(`ws://${host}:${port}${topic}`, { headers: { authorization: key } })
    socket.on('message', data => heard.emit('message', topic, data))
    await next(socket, 'open')
    sockets.set(topic, socket)
    socket.on('close', () => subscribe(topic).then(() => heard.emit('reopened')))
  }
  return {
    subscribe,
    messages: new Events(heard, 'message'),
    publish: (topic, payload) => sockets.get([...sockets.keys()].find(open => open.startsWith(topic))).send(payload),
    async back () {
      for (const _ of sockets) await reopened.take()
      return false
    },
    close () {
      for (const socket of sockets.values()) socket.removeAllListeners('close').terminate()
    }
  }
}

exercise(new URL(httpUrl).host, exercised)

test('the example: the key in a header, an update out, the update in', async () => {
  const thng = await createThng()
  const headers = { authorization: key }
  const { socket, take } = await open(`/thngs/${thng}/properties/temperature`, { headers })
  socket.send(JSON.stringify([{ value: 37.2 }]))
  const update = await take()
  assert.equal(update[0].value, 37.2)
  assert.equal(update[0].key, 'temperature')
  assert.equal(await newest(thng, 'temperature'), 37.2)
  socket.close(1000)
  const [code] = await next(socket, 'close')
  assert.equal(code, 1000, 'the goodbye is answered')
})

test("the browser's example: the key in the query", async () => {
  const thng = await createThng()
  const { socket, take } = await open(`/thngs/${thng}/properties/temperature?access_token=${key}`)
  socket.send(JSON.stringify([{ value: 37.2 }]))
  assert.equal((await take())[0].value, 37.2)
  socket.terminate()
})

test('updates through REST arrive, on the property and on all properties', async () => {
  const thng = await createThng()
  const all = await open(`/thngs/${thng}/properties?access_token=${key}`)
  const one = await open(`/thngs/${thng}/properties/a?access_token=${key}&pubStates=1`)
  const stored = await rest('PUT', `/thngs/${thng}/properties`, [{ key: 'a', value: 1 }, { key: 'b', value: 2 }])
  assert.deepEqual(await all.take(), stored.body)
  assert.deepEqual(await one.take(), [stored.body[0]])
  all.socket.terminate()
  one.socket.terminate()
})

test('an unauthorised subscription fails in the negotiation with 403', async () => {
  const thng = await createThng()
  assert.equal(await refusal(`/thngs/${thng}/properties`, { headers: { authorization: wrongKey } }), 403)
  assert.equal(await refusal(`/thngs/${thng}/properties?access_token=${wrongKey}`), 403)
  assert.equal(await refusal(`/thngs/${'U'.repeat(24)}/properties?access_token=${key}`), 403)
})

test('what cannot be read is answered with an error document, and the socket stays open', async () => {
  const thng = await createThng()
  const { socket, take } = await open(`/thngs/${thng}/properties/k?access_token=${key}`)
  socket.send('[{')
  const refused = await take()
  assert.equal(refused.status, 400)
  assert.ok(refused.errors.length > 0)
  socket.send(JSON.stringify([{ value: 1 }]))
  assert.equal((await take())[0].value, 1)
  socket.terminate()
})

test('a ping is answered', async () => {
  const thng = await createThng()
  const { socket } = await open(`/thngs/${thng}/properties/k?access_token=${key}`)
  socket.ping('still there?')
  const [data] = await next(socket, 'pong')
  assert.equal(data.toString(), 'still there?')
  socket.terminate()
})

test('the SDK for script tags is served as a script', async () => {
  const response = await within('the script', fetch(`${httpUrl}/sdk/thng-pubsub.js`))
  assert.equal(response.status, 200)
  assert.match(response.headers.get('content-type'), /javascript/)
})
