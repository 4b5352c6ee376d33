/**
 * Filters of lists, in the language that the server reads; see "Filters" in `docs/rest.md`.
 */
import { PubSubError } from './errors.js'

const OPERATORS = ['=', '!=', '~', '>', '>=', '<', '<=']

/** What means something in a filter, unless a backslash is before it. */
const SPECIAL = /[&|!><=~(),\\]/g

/**
 * A filter that every part has to match. A part is an object with a term for each field, or another filter.
 *
 * @param {...(object | string)} parts
 * @returns {string}
 * @throws {PubSubError} BAD_SETTING
 */
export function filter(...parts) {
  return joined(parts, '&')
}

/** A filter that one of the parts has to match. */
filter.any = (...parts) => joined(parts, '|')

/** Without a part it would match everything. */
function joined(parts, by) {
  if (!parts.length) throw wrong('has no part')
  return parts.map((part) => (typeof part === 'string' ? `(${part})` : termsOf(part))).join(by)
}

/** The terms of an object, all of which have to match. Those that are undefined are left out. */
function termsOf(part) {
  const terms = Object.entries(part).flatMap(([field, term]) => (term === undefined ? [] : conditions(field, term)))
  if (!terms.length) throw wrong('has no term')
  return terms.join('&')
}

/** A term is a value, a list of which one has to match, or an object with either for each operator. */
function conditions(field, term) {
  const isPlain = Object.prototype.toString.call(term) === '[object Object]'
  const given = Object.entries(isPlain ? term : { '=': term }).filter(([, value]) => value !== undefined)
  return given.map(([operator, value]) => {
    if (!OPERATORS.includes(operator)) throw wrong(`of ${field} has no operator ${operator}; there are ${OPERATORS.join(' ')}`)
    const values = [value].flat()
    if (!values.length) throw wrong(`of ${field} has no value`)
    return escaped(field) + operator + values.map((each) => escaped(textOf(field, each))).join(',')
  })
}

function textOf(field, value) {
  if (value instanceof Date) value = value.getTime()
  const isKnown = ['string', 'boolean', 'bigint'].includes(typeof value) || Number.isFinite(value)
  if (!isKnown) throw wrong(`of ${field} cannot have the value ${String(value)}`)
  return String(value)
}

const escaped = (text) => text.replace(SPECIAL, '\\$&')

const wrong = (detail) => new PubSubError('BAD_SETTING', { detail: `filter ${detail}` })
