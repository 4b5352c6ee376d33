/**
 * Where a document is tried out: a folder that looks like a checkout, and a server of its own with fresh data.
 *
 * Documents name the ports and folders that people use. Here they are others, and `here()` puts these in their place.
 */
import { spawn } from 'node:child_process'
import { chmod, copyFile, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

import { binary, exitCode } from '../js/launch.mjs'
import { Ids, idsIn } from './likeness.mjs'
import { Terminal } from './terminal.mjs'

const WAIT_MAX_MS = 20_000
const READY_MS = 60_000

/** Listeners by their flag: the variable that a document knows each by, and the port that people use. */
const LISTENERS = { http: ['HTTP', 8080], mqtt: ['MQTT', 1883], https: ['HTTPS', 8443], mqtts: ['MQTTS', 8883] }

const FOLDERS = ['checkout', 'programs', 'home', 'home/strict', 'etc', 'backups', 'terminal']

/** What is made where a document names something that it has not made: the path below which it is, and its document. */
const MADE = {
  thngs: { name: 'Lamp 7' },
  products: { name: 'Lamp' },
  collections: { name: 'Second floor' },
  places: { name: 'Hall' },
  projects: { name: 'Home' },
  batches: { name: 'Batch' },
  roles: { name: 'Role' }
}

/** Which kind of thing a field of a document names. */
const NAMED = {
  product: 'products',
  thng: 'thngs',
  thngId: 'thngs',
  collection: 'collections',
  place: 'places',
  projects: 'projects'
}

/** Waits until `look` gives something, and says what never came. */
export async function until(what, look, waitMaxMs = WAIT_MAX_MS) {
  const begun = Date.now()
  for (;;) {
    const found = await look()
    if (found) return found
    if (Date.now() - begun > waitMaxMs) throw new Error(typeof what === 'function' ? what() : `there was no ${what}`)
    await pause(50)
  }
}

export class Place {
  ids = new Ids()
  #text
  #modules
  #root
  #checkout
  #server
  #terminal
  #kept = new Map()
  #made = []

  /**
   * @param {string} text - The document: if it sets the variables itself, it is not given them.
   * @param {string} modules - The packages that its programs import.
   */
  constructor(text, modules) {
    this.#text = text
    this.#modules = modules
  }

  /** Makes something at the first call, and gives the same at every other. */
  #once(name, make) {
    if (!this.#kept.has(name)) this.#kept.set(name, make())
    return this.#kept.get(name)
  }

  /** The folder of everything. */
  folder() {
    return this.#once('folder', async () => {
      this.#root = await mkdtemp(join(tmpdir(), 'thng-pubsub-docs-'))
      this.#checkout = join(this.#root, 'checkout')
      for (const name of FOLDERS) await mkdir(join(this.#root, name))
      await symlink(this.#modules, join(this.#checkout, 'node_modules'))
      await writeFile(join(this.#checkout, 'package.json'), '{ "private": true }\n')
      // Without this option curl succeeds whatever the answer.
      await writeFile(join(this.#root, 'home/strict/.curlrc'), 'fail-with-body\nno-progress-meter\n')
      await writeFile(join(this.#root, 'home/.curlrc'), 'no-progress-meter\n')
      const command = fileURLToPath(new URL('command.mjs', import.meta.url))
      const program = join(this.#root, 'programs/thng-pubsub-server')
      await writeFile(program, `#!/bin/sh\nexec '${process.execPath}' '${command}' "$@"\n`)
      await chmod(program, 0o755)
      return this.#root
    })
  }

  /** The folder that looks like a checkout, in which the terminal is opened. */
  async checkout() {
    await this.folder()
    return this.#checkout
  }

  /** The server: its addresses by the names of `LISTENERS`, its address for REST, its data, the key of its operator. */
  server() {
    return this.#once('server', async () => {
      const data = join(await this.checkout(), 'data')
      const listeners = Object.keys(LISTENERS).flatMap((name) => [`--${name}`, '127.0.0.1:0'])
      const flags = ['serve', ...listeners, '--data', data, '--log', 'error']
      this.#server = spawn(binary(), flags, { stdio: ['ignore', 'pipe', 'inherit'] })
      const kill = () => this.#server.kill('SIGKILL')
      process.once('exit', kill)
      this.#server.once('exit', () => process.off('exit', kill))
      const ready = new Promise((resolve) => createInterface(this.#server.stdout).once('line', resolve))
      const ended = exitCode(this.#server).then((code) => {
        throw new Error(`the server ended at its start with code ${code}`)
      })
      ended.catch(() => {})
      const late = pause(READY_MS, undefined, { ref: false }).then(() => {
        throw new Error(`the server was not ready after ${READY_MS / 1000} s`)
      })
      late.catch(() => {})
      const line = await Promise.race([ready, ended, late])
      const addresses = Object.fromEntries(line.split(' ').slice(1).map((word) => word.split('=')))
      const key = (await readFile(join(data, 'operator.key'), 'utf8')).trim()
      const etc = join(this.#root, 'etc')
      await copyFile(join(data, 'tls/server.pem'), join(etc, 'fullchain.pem'))
      await copyFile(join(data, 'tls/server.key'), join(etc, 'privkey.pem'))
      return { ...addresses, key, data, url: `http://${addresses.http}` }
    })
  }

  /** A text of a document with the ports and folders of this place. */
  async here(text) {
    const server = await this.server()
    const port = (number) => {
      const [name] = Object.entries(LISTENERS).find(([, [, usual]]) => usual === Number(number))
      return server[name].split(':').at(-1)
    }
    return text
      .replace(/\b(localhost|127\.0\.0\.1):(8080|1883|8443|8883)\b/g, (_, host, usual) => `${host}:${port(usual)}`)
      .replace(/(?<= -p )(1883|8883)\b/g, port)
      .replaceAll('/etc/thng-pubsub', join(this.#root, 'etc'))
      .replaceAll('/var/lib/thng-pubsub', server.data)
      .replaceAll('/var/backups', join(this.#root, 'backups'))
      .replaceAll('/etc/bash_completion.d', join(this.#root, 'etc'))
      .replaceAll('/usr/local/share/man/man1', join(this.#root, 'etc'))
      .replaceAll('target/release/thng-pubsub-server', 'thng-pubsub-server')
  }

  /** The terminal in which its commands are typed. */
  terminal() {
    return this.#once('terminal', async () => {
      const cwd = await this.checkout()
      this.#terminal = new Terminal(join(this.#root, 'terminal'), cwd, await this.environment())
      return this.#terminal
    })
  }

  /** What programs find in the environment. */
  async environment() {
    const { key, data, ...addresses } = await this.server()
    const path = [join(this.#root, 'programs'), process.env.PATH].join(delimiter)
    const own = { PATH: path, HOME: join(this.#root, 'home'), LC_ALL: 'C.UTF-8', THNG_PUBSUB_SERVER: binary() }
    if (/^HTTP=/m.test(this.#text)) return own
    const given = Object.entries(LISTENERS).map(([name, [variable]]) => [variable, addresses[name]])
    return { ...own, ...Object.fromEntries(given), KEY: key, THNG: await this.thng() }
  }

  /** The thng that is given to documents. */
  thng() {
    return this.known('thngs')
  }

  /** The id of something of a kind; it is made at the first call, or was kept before. */
  known(kind) {
    return this.#once(kind, async () => (await this.rest('POST', `/${kind}`, MADE[kind])).body.id)
  }

  /** Makes something and has it be the one of its kind; `shown` is its id in the document. */
  async keep(kind, document, shown) {
    const { id } = (await this.rest('POST', `/${kind}`, document)).body
    this.#kept.set(kind, id)
    if (shown) this.ids.note(shown, id)
    return id
  }

  /** The action type of the documents. */
  actionType() {
    return this.#once('actionType', () => this.rest('POST', '/actions', { name: '_switched' }))
  }

  /** A key that is not the operator's: that of an application. */
  keyOf(whose) {
    if (whose !== 'application') throw new Error(`there is no key of "${whose}"`)
    return this.#once('application', async () => {
      const { body: project } = await this.rest('POST', '/projects', { name: 'Hotel' })
      const application = { name: 'Lobby', socialNetworks: {} }
      return (await this.rest('POST', `/projects/${project.id}/applications`, application)).body.appApiKey
    })
  }

  /** A REST call by its text; `key` is the operator's where no other is given. */
  async ask(method, path, text, key) {
    const server = await this.server()
    const headers = { authorization: key ?? server.key, 'content-type': 'application/json' }
    const response = await fetch(server.url + path, { method, headers, body: text || undefined })
    return { status: response.status, headers: response.headers, text: await response.text() }
  }

  /** A REST call that has to succeed. */
  async rest(method, path, body, key) {
    const answer = await this.ask(method, path, body === undefined ? '' : JSON.stringify(body), key)
    if (answer.status >= 400) throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`)
    return { ...answer, body: answer.text ? JSON.parse(answer.text) : undefined }
  }

  /** The metric of this name, summed over its labels. */
  async metric(name) {
    const { text } = await this.ask('GET', '/metrics', '')
    const lines = text.split('\n').filter((line) => line.startsWith(name) && /^[ {]/.test(line.slice(name.length)))
    return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
  }

  /** Fills a path and a body of the document with ids of this run, and makes what they name and is not there. */
  async filled(path, body) {
    const text = `${path}\n${body}`
    for (const id of new Set(idsIn(text))) {
      if (!this.ids.has(id)) this.ids.note(id, await this.#standIn(kindOf(id, path, body), id))
    }
    return [this.ids.filled(path), this.ids.filled(body)]
  }

  /** The last thing of a kind that this document has made without showing its id, or else a new one. */
  async #standIn(kind, id) {
    if (kind === 'accounts') return (await this.rest('GET', '/access')).body.account
    if (!(kind in MADE)) throw new Error(`it is not known what ${id} is`)
    const made = this.#made.findLast((one) => one.kind === kind && !this.ids.isTaken(one.id))
    return made?.id ?? (await this.rest('POST', `/${kind}`, MADE[kind])).body.id
  }

  /** Records what a request of the document has created, so that a later id can represent it. */
  noteMade(path, id) {
    this.#made.push({ kind: path.split(/[/?]/)[1], id })
  }

  /** Ends what runs, and removes the folder. */
  async close() {
    this.#terminal?.close()
    const server = this.#server
    if (server && server.exitCode === null && server.signalCode === null) {
      const ended = exitCode(server)
      server.kill('SIGTERM')
      await ended
    }
    if (this.#root) await rm(this.#root, { recursive: true, force: true })
  }
}

/** What kind of thing an id of a request is: by the segment before it, its field, or the list that it chooses from. */
function kindOf(id, path, body) {
  const [way, query = ''] = path.split('?')
  const segments = way.split('/')
  const at = segments.indexOf(id)
  if (at > 0) return segments[at - 1]
  const parameter = [...new URLSearchParams(query)].find(([, value]) => value.includes(id))
  if (parameter) return parameter[0] === 'project' ? 'projects' : segments[1]
  const [, kind] = new RegExp(`"(\\w+):${id}"`).exec(body) ?? []
  if (kind) return kind
  const [, field] = new RegExp(`"(\\w+)"\\s*:[^:]*"${id}"`).exec(body) ?? []
  return field ? NAMED[field] : segments.at(-1)
}
