/**
 * Compares what a document shows with what there was: the same text, except for what is new each time.
 *
 * Ids, handles of keys, times, addresses of this machine and keys (`Cnw9…asbG`) may be others; `…` is anything on its
 * line. An id in a document represents one of this run, wherever the document names it again.
 */

const ID = /\b(?=[A-Za-z]*\d)[A-Za-z0-9]{24}\b|\bU[A-Za-z]{23}\b/

/** A key's handle; commands take its first digits. */
const HANDLE = /\b(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{12}\b/
const HANDLE_DIGITS = 8

/** What is not compared to the letter, in the order in which it is looked for. */
const NEW_EACH_TIME = [
  [/\b[A-Za-z0-9]{4}…[A-Za-z0-9]{4}\b/, () => '[A-Za-z0-9]{80}'],
  [/…/, () => '[^\\n]*?'],
  [/127\.0\.0\.1(?::|%3A)\d+/, () => '127\\.0\\.0\\.1(?::|%3A)\\d+'],
  [/\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\b/, () => '\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d'],
  [/\b1\d{12}\b/, (time, said) => (said.includes(time) ? time : '1\\d{12}')]
]

/** The ids in a document, and those of this run that they represent. */
export class Ids {
  #known = new Map()
  #count = 0

  /** Records the id of this run that an id of the document represents; of several the last one counts in requests. */
  note(shown, actual) {
    const known = this.#known.get(shown) ?? []
    this.#known.set(shown, [...known.filter((other) => other !== actual), actual])
  }

  has(shown) {
    return this.#known.has(shown)
  }

  /** Whether an id of the document represents this one. */
  isTaken(actual) {
    return [...this.#known.values()].some((all) => all.includes(actual))
  }

  /** A text of the document with the ids of this run. */
  filled(text) {
    return text.replace(new RegExp(ID, 'g'), (shown) => this.#known.get(shown)?.at(-1) ?? shown)
  }

  /** A command of the document with the handles of this run, which it may begin only. */
  withHandles(command) {
    const handles = [...this.#known].filter(([shown]) => HANDLE.test(shown))
    const short = (handle) => handle.slice(0, HANDLE_DIGITS)
    return handles.reduce((text, [shown, actual]) => text.replaceAll(short(shown), short(actual.at(-1))), command)
  }

  /** A pattern for an id: one of those that it represents, or any other if it is created here. */
  pattern(shown, isNew, captures, letters = '[A-Za-z0-9]{24}') {
    const known = this.#known.get(shown)
    if (known && !isNew) return `(?:${known.join('|')})`
    const again = [...captures].find(([, other]) => other === shown)
    if (again) return `\\k<${again[0]}>`
    this.#count += 1
    captures.set(`id${this.#count}`, shown)
    return `(?<id${this.#count}>${letters})`
  }
}

/**
 * Whether what there was is like what is shown; it may have more before and behind it.
 *
 * @param {string} shown
 * @param {string} actual
 * @param {object} about
 * @param {Ids} about.ids - The ids of this run; new ones are added.
 * @param {string} [about.said] - The request: its times are to come back as they are.
 * @param {Set<string>} [about.made] - Ids that are expected to be new, whatever they represented before.
 * @param {boolean} [about.isWhole] - Whether there may be nothing before and behind it.
 * @param {boolean} [about.hasGaps] - Whether something else may have come between its lines.
 */
export function isLike(shown, actual, { ids, said = '', made = new Set(), isWhole = false, hasGaps = false }) {
  const captures = new Map()
  let pattern = ''
  let rest = shown
  const gaps = hasGaps ? [[/\n/, () => '[^]*?\\n[^]*?']] : []
  const named = [
    [ID, (id) => ids.pattern(id, made.has(id), captures)],
    [HANDLE, (handle) => ids.pattern(handle, false, captures, '[0-9a-f]{12}')]
  ]
  const kinds = [...NEW_EACH_TIME, ...gaps, ...named]
  while (rest) {
    const found = kinds.map(([wanted, write]) => ({ match: wanted.exec(rest), write })).filter(({ match }) => match)
    const [first] = found.sort((one, other) => one.match.index - other.match.index)
    if (!first) break
    const { match, write } = first
    pattern += escaped(rest.slice(0, match.index)) + write(match[0], said)
    rest = rest.slice(match.index + match[0].length)
  }
  pattern += escaped(rest)
  const match = new RegExp(isWhole ? `^${pattern}$` : pattern).exec(actual)
  if (!match) return false
  for (const [group, id] of captures) ids.note(id, match.groups[group])
  return true
}

/** JSON without white space between its tokens; values stay the text that they are. */
export const dense = (json) => json.replace(/("(?:[^"\\]|\\.)*")|\s+/g, '$1')

/** The ids in a text. */
export const idsIn = (text) => text.match(new RegExp(ID, 'g')) ?? []

const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
