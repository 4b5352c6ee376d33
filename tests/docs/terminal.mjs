/**
 * A terminal in which a document's commands are typed one block after the other: one bash, with what the blocks before
 * have set and what they have left running.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

export class Terminal {
  /** All that was written to it, by commands in the background, too. */
  output = ''
  #folder
  #cwd
  #environment
  #bash
  #left
  #count = 0
  /** The names that bash has by itself: not restored after a block that failed. */
  #own

  /**
   * @param {string} folder - Where it keeps what it needs itself.
   * @param {string} cwd - Where it is opened.
   * @param {object} environment
   */
  constructor(folder, cwd, environment) {
    this.#folder = folder
    this.#cwd = cwd
    this.#environment = environment
  }

  /** Runs a block. Throws what bash ended with, and goes on with a new one, in which the variables of before are set. */
  async run(text, limitMs) {
    await this.#start()
    this.#count += 1
    const file = join(this.#folder, `block-${this.#count}.sh`)
    await writeFile(file, `${text}\n`)
    const from = this.output.length
    const ended = await this.#feed(`. '${file}' < /dev/null`, limitMs)
    if (ended) {
      throw new Error(`${ended}; the terminal has:\n${this.output.slice(from).trimEnd() || '(nothing)'}`)
    }
  }

  /** Has bash do something and then say which variables there are. Resolves with how it ended, if it did. */
  async #feed(command, limitMs) {
    const bash = this.#bash
    let timer
    const late = new Promise((resolve) => {
      timer = setTimeout(resolve, limitMs, `it did not end within ${limitMs / 1000} s`)
    })
    const done = once(bash.stdio[3], 'data').then(() => undefined)
    bash.stdin.write(`${command}\ndeclare -p > '${this.#variablesFile}'\necho >&3\n`)
    const ended = await Promise.race([done, this.#left, late])
    clearTimeout(timer)
    if (ended) this.close()
    return ended
  }

  get #variablesFile() {
    return join(this.#folder, 'variables')
  }

  async #start() {
    if (this.#bash) return
    const options = { cwd: this.#cwd, env: this.#environment, detached: true, stdio: ['pipe', 'pipe', 'pipe', 'pipe'] }
    const bash = spawn('bash', ['--noprofile', '--norc'], options)
    this.#bash = bash
    this.#left = new Promise((resolve) => {
      bash.once('error', (error) => resolve(`bash cannot be started: ${error.message}`))
      bash.once('exit', (code, signal) => resolve(`bash ended with ${signal ?? code}`))
    })
    bash.stdin.on('error', () => {})
    for (const stream of [bash.stdout, bash.stderr]) stream.on('data', (data) => (this.output += data))
    const before = await this.#declarations()
    await this.#feed('exec 2>&1; set -eu', 10_000)
    const own = (await this.#declarations()).map(({ name }) => name)
    this.#own ??= new Set(own)
    const lost = before.filter(({ name, flags }) => !this.#own.has(name) && !flags.includes('r'))
    if (!lost.length) return
    const file = join(this.#folder, 'restored.sh')
    await writeFile(file, lost.map(({ source }) => `${source}\n`).join(''))
    await this.#feed(`. '${file}'`, 10_000)
  }

  async #declarations() {
    if (!existsSync(this.#variablesFile)) return []
    const text = await readFile(this.#variablesFile, 'utf8')
    const parts = text.split(/^(?=declare -)/m)
    const read = parts.map((source) => ({ source, match: /^declare -(\S+) (\w+)(?:=([^]*))?$/.exec(source.trimEnd()) }))
    return read.flatMap(({ source, match }) => {
      if (!match) return []
      const [, flags, name, value = ''] = match
      return [{ source: source.trimEnd(), flags, name, value: unquoted(value) }]
    })
  }

  /** The variables that were set in it, and those of them that programs see. */
  async variables() {
    const all = await this.#declarations()
    const set = all.filter(({ name }) => !this.#own?.has(name) || name in this.#environment)
    const pairs = (list) => Object.fromEntries(list.map(({ name, value }) => [name, value]))
    return { all: pairs(set), exported: pairs(set.filter(({ flags }) => flags.includes('x'))) }
  }

  /** Ends bash and all that it has left running. */
  close() {
    if (!this.#bash) return
    try {
      process.kill(-this.#bash.pid, 'SIGKILL')
    } catch {
      // It is gone already, with all that it started.
    }
    this.#bash = undefined
  }
}

const unquoted = (value) => value.replace(/^"([^]*)"$/, '$1').replace(/\\(["$\\`])/g, '$1')
