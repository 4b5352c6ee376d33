/**
 * Shows the server's OpenAPI and AsyncAPI documents: what can be asked, published and watched, by whom, with which
 * documents, and lets it be tried.
 *
 * Texts of the documents and of answers become text nodes, never markup, and nothing is fetched from elsewhere.
 * Ids of this page start with `page-`, of a tag with `tag-`, of a topic with `topic-`, of a document with `document-`;
 * an operation has its own.
 */

const SOURCE = '/openapi.json'
const TOPICS_SOURCE = '/asyncapi.json'
const TOPICS_WAIT_MAX = 10_000
const METHODS = ['get', 'head', 'post', 'put', 'patch', 'delete', 'options', 'trace']
const SHOWN_HEADERS = ['link', 'location', 'x-result-count', 'allow', 'retry-after', 'content-type']
const SHOWN_CHARS_MAX = 200_000
const MESSAGES_MAX = 50
const MESSAGE_CHARS_MAX = 20_000
const PLAIN = { autocomplete: 'off', autocapitalize: 'off', spellcheck: 'false' }
const KEY_NAME = 'api-key'
const find = (id) => document.getElementById(id)
const input = find('page-search-input')
const wide = matchMedia('(min-width: 60rem)')
let api
let topicApi
let topicProblem
let topics = []
let operations = []
let documents = []
let lastAnswer
const entries = () => [...topics, ...operations, ...documents]

/** `make('p.hint', { id: 'a' }, 'text', node)`; a child that is `undefined`, `null` or `false` is left out. */
function make(kind, attributes, ...children) {
  const [name, ...classes] = kind.split('.')
  const node = document.createElement(name)
  if (classes.length) node.className = classes.join(' ')
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (value !== undefined && value !== false) node.setAttribute(key, value === true ? '' : value)
  }
  node.append(...children.flat(9).filter((child) => child instanceof Node || (child ?? false) !== false))
  return node
}

const code = (value) => make('code', {}, typeof value === 'string' ? value : JSON.stringify(value))
const number = (value) => value.toLocaleString('en-GB')
const join = (lists, word) => lists.flatMap((list, at) => (at ? [word, list] : [list]))
const slug = (text) => text.replace(/[^\w-]+/g, '-')
const documentId = (name) => `document-${slug(name)}`

// Markdown: paragraphs, headings, lists, fenced code; in a line `code`, **strong**, *emphasis* and links.

function link(href, text) {
  const safe = URL.canParse(href, location) && /^(https?|mailto):$/.test(new URL(href, location).protocol)
  return safe ? make('a', { href }, text) : text
}

const INLINE = new RegExp([
  /(`+)(?<coded>.+?)\1/,
  /\*\*(?<strong>.+?)\*\*/,
  /\*(?<emphasis>[^\s*](?:[^*]*[^\s*])?)\*/,
  /\[(?<words>(?:`[^`]*`|[^\]])+)\]\((?<href>[^)\s]+)\)/
].map((one) => one.source).join('|'), 'g')

function inline(text) {
  const nodes = []
  let end = 0
  for (const hit of text.matchAll(INLINE)) {
    const { coded, strong, emphasis, words, href } = hit.groups
    nodes.push(text.slice(end, hit.index))
    if (coded) nodes.push(code(coded.trim()))
    else if (href) nodes.push(link(href, make('span', {}, inline(words))))
    else nodes.push(make(strong ? 'strong' : 'em', {}, inline(strong ?? emphasis)))
    end = hit.index + hit[0].length
  }
  return [...nodes, text.slice(end)]
}

function markdown(text = '') {
  const blocks = []
  for (const [at, part] of String(text).split(/^```.*$/m).entries()) {
    if (at % 2) {
      blocks.push(pre(part.replace(/^\n|\n$/g, ''), 'Code'))
      continue
    }
    let list
    for (const block of part.split(/\n\s*\n/)) {
      for (const run of block.split(/\n(?=\s*(?:[-*+]|\d+[.)]|#{1,6})\s)/)) {
        const [, mark, body] = /^\s*([-*+]|\d+[.)]|#{1,6})\s+([^]*)$/.exec(run) ?? [undefined, undefined, run]
        if (!body.trim()) continue
        const words = inline(body.trim().replace(/\s*\n\s*/g, ' '))
        if (mark && mark[0] !== '#') {
          const kind = /\d/.test(mark) ? 'ol' : 'ul'
          if (list?.localName !== kind) blocks.push((list = make(kind)))
          list.append(make('li', {}, words))
        } else {
          list = undefined
          blocks.push(make('p', {}, mark ? make('strong', {}, words) : words))
        }
      }
    }
  }
  return blocks
}

const firstParagraph = (text) => text?.split(/\n\s*\n/)[0].replaceAll('\n', ' ')
const prose = (text) => text && make('div.prose', {}, markdown(text))
const pre = (text, label) => make('pre', { tabindex: 0, role: 'group', 'aria-label': label }, make('code', {}, text))
