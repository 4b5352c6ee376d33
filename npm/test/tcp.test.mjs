/**
 * MQTT on TCP, as Node.js can speak it: against our own server, and with a TLS proxy in front of it, which sees what the
 * client shows. The server's own TLS is in `tls.test.mjs`.
 */
import assert from 'node:assert/strict'
import { generateKeyPairSync, sign } from 'node:crypto'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer as createHttpsServer } from 'node:https'
import net from 'node:net'
import { join } from 'node:path'
import { afterEach, test } from 'node:test'
import tls from 'node:tls'
import { inspect } from 'node:util'

import { project } from './project.mjs'
import { createThng, key, url } from './server.mjs'

const { THNG_PUBSUB_TEST_MQTT: mqtt } = process.env
if (!mqtt) throw new Error('These tests need a running server: set THNG_PUBSUB_TEST_MQTT to its MQTT address.')

const user = await project('tcp')
const PubSub = user.require('thng-pubsub')
// What fails in these tests is the first connection.
PubSub.setup({ retryFirstConnection: false })
const DEFAULTS = { ...PubSub.settings }
const certificate = selfSigned()
const open = []

afterEach(async () => {
  await PubSub.close()
  PubSub.setup(DEFAULTS)
  for (const stop of open.splice(0)) stop()
})

async function property(options) {
  const { id } = await createThng()
  return new PubSub.Operator(key, { restUrl: url, ...options }).thng(id).property('k')
}

/** Publishes and waits until it comes back. */
async function roundTrip(resource, value = 5) {
  const messages = resource.messages()
  const next = messages.next()
  // Behind the iterator's subscription, on the same connection.
  await (await resource.subscribe(() => {})).close()
  await resource.publish(value, { qos: 1 })
  const { value: [update] } = await next
  assert.deepEqual(update.value, value)
  await messages.return()
}

async function rejection(promise, code) {
  const error = await promise.then(
    () => assert.fail('it should be rejected'),
    (reason) => reason
  )
  assert.equal(error.code, code, inspect(error))
  return error
}

/** A server on a port of its own, which is stopped after the test with what is connected to it. */
async function listen(server) {
  const sockets = new Set()
  const keep = (socket) => {
    sockets.add(socket.on('error', () => {}))
    socket.on('close', () => sockets.delete(socket))
  }
  server.on('connection', keep).on('secureConnection', keep)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  open.push(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return server.address().port
}

/** What comes with TLS goes on to the address without; `seen` has the connections. */
async function tlsProxy(address, options = {}) {
  const [host, port] = address.split(':')
  const seen = []
  const server = tls.createServer({ ...certificate, ...options }, (socket) => {
    seen.push(socket)
    const behind = net.connect({ host, port: Number(port) })
    socket.on('close', () => behind.destroy())
    behind.on('error', () => {}).on('close', () => socket.destroy())
    socket.pipe(behind).pipe(socket)
  })
  return { port: await listen(server), seen }
}

test('mqtt:// is MQTT without a WebSocket', async () => {
  const resource = await property({ apiUrl: `mqtt://${mqtt}` })
  const urls = []
  const note = ({ url }) => urls.push(url)
  PubSub.on('connected', note)
  await roundTrip(resource)
  PubSub.off('connected', note)
  assert.deepEqual(urls, [`mqtt://${mqtt}`])
})

test('a message of many segments arrives whole', async () => {
  const resource = await property({ apiUrl: `mqtt://${mqtt}` })
  await roundTrip(resource, 'ü'.repeat(60_000))
})

test('a wrong key, a port where nobody is and a server that hangs up are told apart', async () => {
  const wrong = await property({ apiUrl: `mqtt://${mqtt}` })
  await rejection(wrong.publish(1, { authorization: 'Z'.repeat(80) }), 'UNAUTHORIZED')
  const nobody = await property({ apiUrl: 'mqtt://127.0.0.1:1' })
  assert.match((await rejection(nobody.publish(1), 'HANDSHAKE')).message, /ECONNREFUSED/)
  const port = await listen(net.createServer((socket) => socket.end()))
  const rude = await property({ apiUrl: `mqtt://127.0.0.1:${port}` })
  await rejection(rude.publish(1), 'HANDSHAKE')
})

test('a lost connection is made again with its subscriptions', async () => {
  const [host, upstream] = mqtt.split(':')
  const pairs = []
  const port = await listen(
    net.createServer((socket) => {
      const behind = net.connect({ host, port: Number(upstream) }).on('error', () => {})
      socket.on('close', () => behind.destroy())
      pairs.push(socket)
      socket.pipe(behind).pipe(socket)
    })
  )
  const resource = await property({ apiUrl: `mqtt://127.0.0.1:${port}`, reconnectPeriod: 20 })
  const messages = resource.messages()
  const first = messages.next()
  await (await resource.subscribe(() => {})).close()
  await resource.publish(1, { qos: 1 })
  await first
  const connected = new Promise((resolve) => PubSub.on('connected', resolve))
  pairs[0].destroy()
  await connected
  await resource.publish(2, { qos: 1 })
  assert.equal((await messages.next()).value[0].value, 2)
  assert.equal(pairs.length, 2)
})

test('mqtts:// is MQTT with TLS, for a server whose certificate is trusted', async () => {
  const { port, seen } = await tlsProxy(mqtt)
  await roundTrip(await property({ apiUrl: `mqtts://localhost:${port}`, tls: { ca: certificate.cert } }))
  assert.equal(seen[0].servername, 'localhost')
  // By its address, too, for which no name is sent.
  await roundTrip(await property({ apiUrl: `mqtts://127.0.0.1:${port}`, tls: { ca: certificate.cert } }))
  assert.equal(seen[1].servername, false)
  await roundTrip(await property({ apiUrl: `mqtts://127.0.0.1:${port}`, tls: { rejectUnauthorized: false } }))
})

test('a certificate that is not trusted, or is that of another host, is refused', async () => {
  const { port } = await tlsProxy(mqtt)
  const unknown = await property({ apiUrl: `mqtts://localhost:${port}` })
  assert.match((await rejection(unknown.publish(1), 'HANDSHAKE')).message, /self.signed/)
  const other = await property({ apiUrl: `mqtts://localhost:${port}`, tls: { ca: certificate.cert, servername: 'example.com' } })
  assert.match((await rejection(other.publish(1), 'HANDSHAKE')).message, /example\.com/)
})

test('a server that wants a certificate gets that of the setting tls', async () => {
  const { port, seen } = await tlsProxy(mqtt, { requestCert: true, ca: certificate.cert })
  PubSub.setup({ tls: { ca: certificate.cert, ...certificate } })
  await roundTrip(await property({ apiUrl: `mqtts://localhost:${port}` }))
  assert.equal(seen[0].getPeerCertificate().subject.CN, 'localhost')
  PubSub.setup({ tls: { ca: certificate.cert } })
  await rejection((await property({ apiUrl: `mqtts://localhost:${port}` })).publish(1), 'HANDSHAKE')
})

test('wss:// has the setting tls too', async () => {
  const { port } = await tlsProxy(new URL(url).host)
  const apiUrl = `wss://localhost:${port}/mqtt`
  await roundTrip(await property({ apiUrl, tls: { ca: certificate.cert } }))
  await rejection((await property({ apiUrl })).publish(1), 'HANDSHAKE')
})

test('what speaks no MQTT is told apart', async () => {
  const port = await listen(createHttpsServer(certificate, (request, response) => response.end()))
  const resource = await property({ apiUrl: `mqtts://localhost:${port}`, tls: { ca: certificate.cert } })
  await rejection(resource.publish(1), 'PROTOCOL')
})

test('an address without a host is refused', async () => {
  await rejection((await property({ apiUrl: 'mqtt:1883' })).publish(1), 'BAD_URL')
})

test('in a browser an address of TCP is refused with what to use', async () => {
  const source = `
    import { readFileSync } from 'node:fs'
    const text = readFileSync('node_modules/thng-pubsub/dist/pubsub.js', 'utf8')
    ;(0, eval)(text)
    for (const apiUrl of ['mqtt://127.0.0.1', 'mqtts://127.0.0.1:8883']) {
      const property = new PubSub.Operator('${'A'.repeat(80)}', { apiUrl }).thng('U1').property('k')
      await property.subscribe(() => {}).catch(({ code, message }) => console.log(code, message))
    }
  `
  await writeFile(join(user.folder, 'browser.mjs'), source)
  const { stdout, stderr } = await user.run(process.execPath, ['browser.mjs'])
  assert.equal(stderr, '')
  assert.equal(stdout.match(/^BAD_URL .*browsers cannot open TCP connections.*wss:/gm)?.length, 2, stdout)
})

/** A server that lets a client in and then says nothing, also not goodbye. */
function muteServer() {
  return listen(
    net.createServer({ allowHalfOpen: true }, (socket) => socket.once('data', () => socket.write(Buffer.from([0x20, 2, 0, 0]))))
  )
}

test('a program ends by itself after close(), whether or not the server hangs up', async () => {
  const source = `
    const PubSub = require('thng-pubsub')
    const property = new PubSub.Operator(process.env.KEY, { apiUrl: process.env.MQTT }).thng(process.env.ID).property('k')
    property.publish(5).then(PubSub.close).then(() => console.log('closed'))
  `
  await writeFile(join(user.folder, 'ends.cjs'), source)
  const { id } = await createThng()
  for (const address of [mqtt, `127.0.0.1:${await muteServer()}`]) {
    const env = { MQTT: `mqtt://${address}`, KEY: key, ID: id }
    const { code, stdout, stderr } = await user.run(process.execPath, ['--unhandled-rejections=strict', 'ends.cjs'], env)
    assert.deepEqual([code, stdout, stderr], [0, 'closed\n', ''])
  }
})

/**
 * A certificate for `localhost` and `127.0.0.1` that is its own authority. Node.js can read certificates but not make
 * them, so its parts are put together here, as RFC 5280 has them.
 */
function selfSigned() {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const part = (tag, ...contents) => {
    const content = Buffer.concat(contents.map((it) => (typeof it === 'string' ? Buffer.from(it) : Buffer.from(it))))
    const { length } = content
    const head = length < 0x80 ? [tag, length] : [tag, 0x82, length >> 8, length & 0xff]
    return Buffer.concat([Buffer.from(head), content])
  }
  const [INTEGER, BIT_STRING, OCTET_STRING, OID, UTF8, TIME, SEQUENCE, SET] = [0x02, 0x03, 0x04, 0x06, 0x0c, 0x18, 0x30, 0x31]
  const time = (ms) => part(TIME, `${new Date(ms).toISOString().replace(/\D/g, '').slice(0, 14)}Z`)
  const day = 86_400_000
  const ecdsaWithSha256 = part(SEQUENCE, part(OID, [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02]))
  const name = part(SEQUENCE, part(SET, part(SEQUENCE, part(OID, [0x55, 0x04, 0x03]), part(UTF8, 'localhost'))))
  const alternatives = part(SEQUENCE, part(0x82, 'localhost'), part(0x87, [127, 0, 0, 1]))
  const isAuthority = part(SEQUENCE, part(0x01, [0xff]))
  const extensions = part(
    SEQUENCE,
    part(SEQUENCE, part(OID, [0x55, 0x1d, 0x11]), part(OCTET_STRING, alternatives)),
    part(SEQUENCE, part(OID, [0x55, 0x1d, 0x13]), part(OCTET_STRING, isAuthority))
  )
  const body = part(
    SEQUENCE,
    part(0xa0, part(INTEGER, [2])),
    part(INTEGER, [1]),
    ecdsaWithSha256,
    name,
    part(SEQUENCE, time(Date.now() - day), time(Date.now() + day)),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    part(0xa3, extensions)
  )
  const der = part(SEQUENCE, body, ecdsaWithSha256, part(BIT_STRING, [0], sign('sha256', body, privateKey)))
  const lines = der.toString('base64').match(/.{1,64}/g).join('\n')
  const cert = `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`
  return { key: privateKey.export({ type: 'pkcs8', format: 'pem' }), cert }
}
