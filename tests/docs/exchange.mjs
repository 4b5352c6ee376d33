/**
 * Requests and answers as documents show them, and payloads as they are published and delivered.
 *
 * A block `http` has one exchange or several, each a request line, its body, an empty line, the status and what of the
 * answer is shown. Where no status is shown, the request has to succeed.
 */
import { once } from 'node:events'

import { dense, idsIn, isLike } from './likeness.mjs'
import { until } from './place.mjs'

const REQUEST = /^(GET|POST|PUT|DELETE|HEAD) (\S.*)$/

/** The exchanges of a block. */
export function exchanges(text) {
  const found = []
  let part
  for (const [at, line] of text.split('\n').entries()) {
    const [, method, path] = REQUEST.exec(line) ?? []
    const last = found.at(-1)
    if (method) {
      found.push({ at, method, path, body: [], status: undefined, answer: [] })
      part = 'body'
    } else if (!last) throw new Error('it does not begin with a request')
    else if (/^\d{3}$/.test(line) && part === 'body') {
      last.status = Number(line)
      part = 'answer'
    } else last[part].push(line)
  }
  return found.map(({ body, answer, ...rest }) => ({ ...rest, body: body.join('\n').trim(), ...parts(answer) }))
}

/** The headers of an answer, and its body. */
function parts(lines) {
  const isHeader = (line) => /^[a-z-]+: /.test(line)
  const headers = lines.filter(isHeader).map((line) => line.split(/: (.*)/s, 2))
  return { headers, answer: lines.filter((line) => !isHeader(line)).join('\n').trim() }
}

/** Makes the requests of a block, and throws where an answer is another than the one that is shown. */
export async function exchange(place, text, key) {
  for (const shown of exchanges(text)) {
    const [path, body] = await place.filled(shown.path, shown.body)
    const said = `${shown.path}\n${shown.body}`
    const what = `${shown.method} ${shown.path}`
    let actual
    const ask = async () => {
      actual = await place.ask(shown.method, path.replaceAll(' ', '%20'), body, key)
      return isAsShown(place, shown, said, actual)
    }
    const isRight = await ask()
    // What happens in the background is asked for until it has happened.
    if (!isRight && shown.method !== 'GET') throw new Error(difference(what, shown, actual))
    if (!isRight) await until(() => difference(what, shown, actual), ask, 3_000)
    const created = actual.status === 201 && /"id":"(\w{24})"/.exec(actual.text)
    if (created) place.noteMade(path, created[1])
  }
}

function isAsShown(place, shown, said, actual) {
  if (shown.status === undefined) return actual.status < 300
  if (actual.status !== shown.status) return false
  const made = new Set(shown.status === 201 ? shown.headers.flatMap(([, value]) => idsIn(value).slice(-1)) : [])
  const about = { ids: place.ids, said, made, isWhole: true }
  const isSame = ([name, value]) => isLike(value, actual.headers.get(name) ?? '', about)
  return shown.headers.every(isSame) && (!shown.answer || isLike(dense(shown.answer), dense(actual.text), about))
}

const difference = (what, shown, { status, headers, text }) =>
  [
    `${what} should be answered with ${shown.status ?? '2xx'}`,
    ...shown.headers.map(([name, value]) => `  ${name}: ${value}\n  but has ${name}: ${headers.get(name)}`),
    `  ${dense(shown.answer)}`,
    `but is answered with ${status}`,
    `  ${dense(text)}`
  ].join('\n')

/** Which verb writes what a topic takes. */
const VERBS = { create: 'POST', update: 'PUT' }

/** A topic of the table with things of this run in it. */
async function topicOf(place, template) {
  let topic = template.replace(':key', 'temperature').replace(':type', '_switched')
  for (const [, segment, name] of template.matchAll(/(\w+)\/(:\w+Id)/g)) {
    topic = topic.replace(name, await place.known(segment))
  }
  if (template.includes('/actions')) await place.actionType()
  return topic
}

/**
 * Publishes a payload as a document shows it: the SDK's own check has to find nothing, and the server to take it.
 *
 * @param {object} place
 * @param {object} about
 * @param {string} about.template - The topic as the table has it.
 * @param {string} about.payload
 * @param {string[]} about.watched - The topics on which something is to come on account of it.
 * @param {{ require: NodeRequire }} about.user - Who has the SDK.
 * @returns {Promise<Map<string, string>>} the first message of each topic that is watched
 */
export async function publish(place, { template, payload, watched, user }) {
  const topic = await topicOf(place, template)
  const { checkPublish, describeTopic } = user.require('thng-pubsub/check')
  const [, body] = await place.filled('/thngs', payload)
  const faults = checkPublish(topic, JSON.parse(body))
  if (faults.length) throw new Error(`thng-pubsub/check refuses it on ${template}: ${faults.join(' ')}`)
  const sockets = new Map()
  for (const one of watched) sockets.set(one, await listen(place, await topicOf(place, one), user))
  const { status, text } = await place.ask(VERBS[describeTopic(topic).publish.right], topic, body)
  if (status >= 300) throw new Error(`the server refuses it on ${template}: ${status} ${text}`)
  const messages = new Map()
  for (const [one, socket] of sockets) messages.set(one, await socket.message())
  return messages
}

/** A native WebSocket on a topic. */
async function listen(place, topic, user) {
  const WebSocket = user.require('ws')
  const { http, key } = await place.server()
  const socket = new WebSocket(`ws://${http}${topic}`, { headers: { authorization: key } })
  let heard
  socket.on('message', (data) => (heard ??= String(data)))
  await once(socket, 'open')
  return {
    async message() {
      try {
        return await until(`message on ${topic}`, () => heard)
      } finally {
        socket.close()
      }
    }
  }
}
