// The server under test: where it is, and things to try on it.
//
// Five variables name it (`cargo xtask test` does, and `with-server.mjs` for local use).
// Every wait of these tests goes through `within`, so that each ends with a sentence and none with a sleep.

import { once } from 'node:events'

function variable (name) {
  const value = process.env[name]
  if (!value) throw new Error(`${name} is not set; \`node with-server.mjs\` starts a server and sets it`)
  return value
}

/** Where HTTP is served, such as `http://127.0.0.1:8080`. */
export const httpUrl = variable('THNG_PUBSUB_TEST_URL').replace(/\/$/, '')

/** Where WebSocket is served. */
export const wsUrl = httpUrl.replace(/^http/, 'ws')

/** Where MQTT is served over TCP. */
export const mqttUrl = `mqtt://${variable('THNG_PUBSUB_TEST_MQTT')}`

/** Where MQTT is served over TLS. */
export const mqttsUrl = `mqtts://${variable('THNG_PUBSUB_TEST_MQTTS')}`

/** Where WebSocket is served over TLS. */
export const wssUrl = `wss://${variable('THNG_PUBSUB_TEST_HTTPS')}`

/** Whom a client has to trust for that: the authority of the server's certificate, as PEM. */
export const ca = await fetch(`${httpUrl}/client.pem`).then(answer => answer.text())

/** The operator's API key. */
export const key = variable('THNG_PUBSUB_TEST_KEY')

/** An unknown key of the right form. */
export const wrongKey = key.toLowerCase() === key ? key.toUpperCase() : key.toLowerCase()

const WAIT_MAX_MS = 20_000

/** What `promise` gives, or a failure that says what never happened. */
export function within (what, promise) {
  let timer
  const late = new Promise((resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${WAIT_MAX_MS} ms in vain for ${what}`)), WAIT_MAX_MS)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

/** The arguments of the next event of this name. */
export function next (emitter, event) {
  return within(`'${event}'`, once(emitter, event))
}

/** A queue of events, so that none is missed between two looks. */
export class Events {
  #arrived = []
  #wanted = []

  constructor (emitter, event) {
    emitter.on(event, (...values) => {
      const wanted = this.#wanted.shift()
      wanted ? wanted(values) : this.#arrived.push(values)
    })
  }

  /** The arguments of the next event that was not taken yet. */
  take () {
    const arrived = this.#arrived.shift()
    return arrived
      ? Promise.resolve(arrived)
      : within('an event', new Promise(resolve => this.#wanted.push(resolve)))
  }

  /** How many wait to be taken. */
  get waiting () {
    return this.#arrived.length
  }
}

/** A REST call, with the operator's key where no other is given. */
export async function rest (method, path, body, authorization = key) {
  const response = await fetch(httpUrl + path, {
    method,
    headers: { authorization, 'content-type': 'application/json' },
    body: body === undefined ? undefined : JSON.stringify(body)
  })
  const text = await response.text()
  return { status: response.status, body: text && JSON.parse(text) }
}

/** A new thng, by its id. */
export async function createThng () {
  const created = await rest('POST', '/thngs', { name: 'a thng of the npm clients' })
  if (created.status !== 201) throw new Error(`POST /thngs: ${created.status}`)
  return created.body.id
}

/** The newest value of a property, as REST has it. */
export async function newest (thng, property) {
  const history = await rest('GET', `/thngs/${thng}/properties/${property}`)
  return history.body[0]?.value
}
