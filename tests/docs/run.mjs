/**
 * What is done with each kind of block. The first word of its info string is the kind, the others say more:
 *
 * | block | what is done |
 * |---|---|
 * | `sh` | typed into the document's terminal, with `set -eu` |
 * | `console` | its lines that begin with `$ ` are typed; the others have to come out, also of a command that fails |
 * | `js` | saved under the name in its first line, or one of its own, and run by node |
 * | `html` | opened in a browser |
 * | `json` | read; `publish TOPIC`: published there; `delivers TOPIC`: what comes there of what was published last |
 * | `http` | each request is made, and its answer compared; `application` says whose key is used |
 * | `toml` | given to `thng-pubsub-server config check` |
 * | `mermaid` | has to begin with a kind of diagram |
 * | `text` | is syntax, or what something else has written |
 *
 * A `text` or `json` block behind a `sh` or `js` block is its output: where nothing is between them, or with the
 * word `output`. What was written in the background since the last heading counts too.
 *
 * `<!-- not run: reason -->` before a block is for what cannot be run in a test.
 */
import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

import { BEFORE } from './before.mjs'
import { exchange, publish } from './exchange.mjs'
import { dense, isLike } from './likeness.mjs'
import { read } from './markdown.mjs'
import { open as openPage } from './page.mjs'
import { Place, until } from './place.mjs'

const run = promisify(execFile)

/** How long one block may take. */
const LIMIT_MS = 60_000

const KINDS = new Set(['sh', 'console', 'js', 'html', 'json', 'http', 'toml', 'mermaid', 'text'])

const DIAGRAMS = /^(?:flowchart|graph|sequenceDiagram|stateDiagram(?:-v2)?|classDiagram|erDiagram|gantt|timeline)\b/

/** What a document calls the operator's key and a thng in programs and pages that are to be filled in. */
const TO_FILL_IN = { OPERATOR_API_KEY: 'KEY', THNG_ID: 'THNG' }

/**
 * @typedef {object} Tools
 * @property {{ folder: string, require: NodeRequire }} user - A project that has the packed SDK.
 * @property {import('playwright-core').BrowserContext} browser
 */

/**
 * A document, to be run block after block.
 *
 * @param {string} path - Its path in the repository.
 * @param {string} text
 * @param {Tools} tools
 */
export function open(path, text, tools) {
  const { blocks, faults } = read(text)
  const place = new Place(text, join(tools.user.folder, 'node_modules'))
  const session = new Session(blocks, place, tools, BEFORE[path])
  const steps = blocks.map((block, at) => ({
    where: `${path}:${block.line}`,
    kind: block.language,
    notRun: block.marker?.reason,
    run: () => session.take(at).catch((error) => fail(path, block.line, error))
  }))
  const wrong = faults.map(({ line, what }) => ({
    where: `${path}:${line}`,
    kind: 'comment',
    run: async () => fail(path, line, new Error(what))
  }))
  return { steps: [...steps, ...wrong], close: () => place.close() }
}

/** Reports where a document is wrong. The stack of this suite matters only for unexpected errors. */
function fail(path, line, error) {
  const named = new Error(`${path}:${line}: ${error.message}`)
  named.stack = error.name === 'Error' ? `Error: ${named.message}` : `${named.message}\n${error.stack}`
  throw named
}

class Session {
  #place
  #tools
  #before
  #terminal
  /** Whether something was started in the background. */
  #isBackground = false
  /** What the section of the last block has written so far: its programs, and from where on the terminal. */
  #written = { section: -1, from: 0, text: '' }
  #blocks
  #published

  constructor(blocks, place, tools, before) {
    this.#blocks = blocks
    this.#place = place
    this.#tools = tools
    this.#before = before
  }

  /** Runs one block, and throws what is wrong with it. */
  async take(at) {
    const [previous, block, next] = [at - 1, at, at + 1].map((index) => this.#blocks[index])
    if (block.marker) throw new Error('it is marked as not run, without a reason')
    await this.#before?.(this.#place)
    this.#before = undefined
    if (block.section !== this.#written.section) {
      this.#written = { section: block.section, from: this.#terminal?.output.length ?? 0, text: '' }
    }
    const kind = isOutput(block, previous) ? this.#output : KINDS.has(block.language) && this[`_${block.language}`]
    if (!kind) throw new Error(`there is no kind "${block.language}" of blocks`)
    await kind.call(this, block, Boolean(next) && isOutput(next, block))
  }

  async _sh(block, hasOutput) {
    const text = await this.#place.here(block.text)
    this.#terminal = await this.#place.terminal()
    // An answer that is shown may be a refusal; any other command has to succeed.
    const curl = `export CURL_HOME="$HOME${hasOutput ? '' : '/strict'}"`
    const isBackground = /&\s*$/m.test(text)
    const subscriptions = isBackground && (await this.#place.metric('thng_pubsub_bus_subscriptions'))
    const from = this.#terminal.output.length
    await this.#terminal.run(`${curl}\n${text}`, LIMIT_MS)
    if (isBackground) {
      this.#isBackground = true
      // A person does not type as fast as this: what was started is there before the next command.
      const isThere = async () =>
        this.#terminal.output.length > from ||
        (await this.#place.metric('thng_pubsub_bus_subscriptions')) > subscriptions
      await until('subscription of what was started in the background', isThere)
    }
  }

  async _console(block) {
    for (const part of block.text.split(/^(?=\$ )/m)) {
      const [first, ...lines] = part.trimEnd().split('\n')
      if (!first.startsWith('$ ')) throw new Error('it does not begin with `$ ` and a command')
      const continued = first.endsWith('\\') ? lines.findIndex((line) => !line.endsWith('\\')) + 1 : 0
      const command = [first.slice(2), ...lines.splice(0, continued)].join('\n')
      const from = (await this.#place.terminal()).output.length
      // A command that shows what it writes may fail: that is what it shows.
      const typed = lines.length ? `${command} || true` : command
      await this._sh({ ...block, text: this.#place.ids.withHandles(typed) }, true)
      if (lines.length) await this.#compare(lines.join('\n'), () => this.#terminal.output.slice(from))
    }
  }

  async _js(block) {
    const [, name] = /^\/\/ (\S+\.m?js)\b/.exec(block.text) ?? []
    const folder = await this.#place.checkout()
    const file = join(folder, name ?? `block-${block.line}.mjs`)
    const { exported, all } = await this.#variables()
    await writeFile(file, filledIn(await this.#place.here(block.text), all, JSON.stringify))
    const options = { cwd: folder, env: exported, timeout: LIMIT_MS, killSignal: 'SIGKILL' }
    try {
      const { stdout } = await run(process.execPath, [file], options)
      this.#written.text += stdout
    } catch (error) {
      if (error.killed) throw new Error(`it did not end within ${LIMIT_MS / 1000} s:\n${error.stdout}${error.stderr}`)
      throw new Error(`${error.stdout}${error.stderr}`)
    }
  }

  async _html(block) {
    const { all } = await this.#variables()
    const filled = filledIn(await this.#place.here(block.text), all, (text) => `'${text}'`)
    const html = filled.replace(/\$([A-Z]+)\b/g, (_, name) => {
      if (!(name in all)) throw new Error(`$${name} has no value`)
      return all[name]
    })
    const { url } = await this.#place.server()
    await openPage(this.#tools.browser, { html, url, folder: await this.#place.folder() })
  }

  async _json(block) {
    JSON.parse(block.text)
    const [word, topic] = block.words
    if (word === 'publish') {
      const about = { template: topic, payload: block.text, watched: this.#watched(block), user: this.#tools.user }
      this.#published = { payload: block.text, messages: await publish(this.#place, about) }
    } else if (word === 'delivers') {
      const message = this.#published?.messages.get(topic)
      if (!message) throw new Error('nothing was published before it')
      const about = { ids: this.#place.ids, said: this.#published.payload, isWhole: true }
      if (!isLike(dense(block.text), dense(message), about)) throw new Error(`what is delivered is\n  ${message}`)
    } else if (word) throw new Error(`there is no "${word}" of json`)
  }

  /** The topics of the blocks that show what comes on account of this one. */
  #watched(block) {
    const after = this.#blocks.slice(this.#blocks.indexOf(block) + 1)
    const end = after.findIndex(({ words: [word] }) => word === 'publish')
    const delivered = after.slice(0, end < 0 ? undefined : end).filter(({ words: [word] }) => word === 'delivers')
    return delivered.map(({ words: [, topic] }) => topic)
  }

  async _http(block) {
    const [whose] = block.words
    const key = whose && (await this.#place.keyOf(whose))
    await exchange(this.#place, block.text, key)
  }

  async _toml(block) {
    const file = join(await this.#place.checkout(), `block-${block.line}.toml`)
    await writeFile(file, await this.#place.here(block.text))
    const { THNG_PUBSUB_SERVER: server, PATH, HOME } = await this.#place.environment()
    const options = { env: { PATH, HOME }, timeout: LIMIT_MS }
    await run(server, ['config', 'check', '--config', file], options).catch((error) => {
      throw new Error(`${error.stdout}${error.stderr}`)
    })
  }

  async _mermaid(block) {
    if (!DIAGRAMS.test(block.text)) throw new Error('it does not begin with a kind of diagram')
  }

  async _text(block) {
    if (/^\$ /m.test(block.text)) throw new Error('commands with what they write are of the kind "console"')
    if (/^(?:GET|POST|PUT|DELETE) \/\S*$/m.test(block.text)) throw new Error('requests are of the kind "http"')
  }

  async #output(block) {
    const isJson = block.language === 'json'
    if (isJson) JSON.parse(block.text)
    const written = () => this.#written.text + (this.#terminal?.output.slice(this.#written.from) ?? '')
    await this.#compare(isJson ? dense(block.text) : block.text, () => (isJson ? dense(written()) : written()))
  }

  /** Waits until what was written is like what is shown: what runs in the background may not have come so far. */
  async #compare(shown, written) {
    const here = await this.#place.here(shown)
    const about = { ids: this.#place.ids, hasGaps: this.#isBackground }
    const isSame = () => isLike(here, written(), about)
    await until(() => `it is not in what was written:\n${written()}`, isSame, this.#isBackground ? 10_000 : 1_000)
  }

  /** The variables that the terminal has; before its first command those that the document is given. */
  async #variables() {
    const environment = await this.#place.environment()
    if (!this.#terminal) return { all: environment, exported: environment }
    return this.#terminal.variables()
  }
}

/** Whether a block is what the block before it has written. */
function isOutput(block, previous) {
  if (block.marker || !['text', 'json'].includes(block.language)) return false
  if (block.words.includes('output')) return true
  const isCommand = previous && !previous.marker && ['sh', 'js'].includes(previous.language)
  return Boolean(isCommand) && block.isAdjacent && !block.words.length
}

/** A program with the key and the thng in place of their names. */
function filledIn(text, variables, quoted) {
  const filled = Object.entries(TO_FILL_IN).filter(([name]) => text.includes(name))
  return filled.reduce((text, [name, variable]) => text.replaceAll(name, quoted(variables[variable])), text)
}
