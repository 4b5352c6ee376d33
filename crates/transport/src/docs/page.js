/**
 * Shows the server's OpenAPI and AsyncAPI documents: what can be asked, published and watched, by whom, with which
 * documents, and lets it be tried.
 *
 * Texts of the documents and of answers become text nodes, never markup, and nothing is fetched from elsewhere.
 * Ids of this page start with `page-`, of a tag with `tag-`, of a topic with `topic-`, of a document with `document-`;
 * an operation has its own.
 */
(() => {
  'use strict'

  const SOURCE = '/openapi.json'
  const TOPICS_SOURCE = '/asyncapi.json'
  const TOPICS_PATIENCE = 10_000
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

  // References and schemas.

  function target(reference) {
    const names = reference.startsWith('#/') ? reference.slice(2).split('/') : ['?']
    const plain = (name) => decodeURIComponent(name).replaceAll('~1', '/').replaceAll('~0', '~')
    // What both documents have has the same name in both.
    const [found] = [api, topicApi].flatMap((whole) => names.reduce((node, name) => node?.[plain(name)], whole) ?? [])
    return found ?? { description: `\`${reference}\` is not in the document.` }
  }

  /** What a reference leads to; what is beside `$ref` wins. */
  function resolve(node) {
    for (let hops = 0; node?.$ref && hops < 20; hops += 1) {
      const { $ref, ...beside } = node
      node = { ...target($ref), ...beside }
    }
    if (node === false) return { not: {} }
    return typeof node === 'object' && node ? node : {}
  }

  function nameOf(schema) {
    const only = schema?.allOf?.length === 1 && !schema.properties ? schema.allOf[0] : schema
    const name = /^#\/components\/schemas\/([^/]+)$/.exec(only?.$ref ?? '')?.[1]
    return name && decodeURIComponent(name)
  }

  /** The documents that a schema is made of. */
  function namesOf(schema, depth = 0) {
    const name = nameOf(schema)
    const parts = depth < 9 ? resolve(schema).allOf ?? [] : []
    return [...(name ? [name] : []), ...parts.flatMap((part) => namesOf(part, depth + 1))]
  }

  /** The schema with its reference resolved and its `allOf` poured into one. */
  function flatten(schema, depth = 0) {
    const { allOf, ...own } = resolve(schema)
    if (!allOf || depth > 9) return own
    const whole = { properties: {}, required: [] }
    for (const part of [...allOf.map((one) => flatten(one, depth + 1)), own]) {
      const properties = { ...whole.properties, ...part.properties }
      const required = [...whole.required, ...(part.required ?? [])]
      Object.assign(whole, part, { properties, required })
    }
    // A part's example is no example of the whole.
    return { ...whole, example: own.example, examples: own.examples }
  }

  const optionsOf = (schema) => schema.oneOf ?? schema.anyOf
  const mapOf = (schema) => typeof schema.additionalProperties === 'object' && schema.additionalProperties

  function typesOf(schema) {
    if (schema.type) return [schema.type].flat()
    if (Object.keys(schema.properties ?? {}).length || mapOf(schema)) return ['object']
    if (schema.items || schema.prefixItems) return ['array']
    if (schema.enum || 'const' in schema) {
      const kinds = (schema.enum ?? [schema.const]).map((value) => (value === null ? 'null' : typeof value))
      return [...new Set(kinds)]
    }
    return []
  }

  /** A schema's type in a few words, with links to documents. */
  function typeLabel(schema) {
    const name = nameOf(schema)
    if (name) return [make('a', { href: `#${documentId(name)}` }, name)]
    const named = resolve(schema).allOf?.filter(nameOf) ?? []
    if (named.length) return join(named.map(typeLabel), ' and ')
    const own = flatten(schema)
    const options = optionsOf(own)
    if (options?.length > 4) return [`one of ${options.length} kinds`]
    if (options) return join(options.map((one) => (one.title ? [one.title] : typeLabel(one))), ' or ')
    const words = typesOf(own).map((type) => {
      if (type === 'array' && own.items) {
        const item = typeLabel(own.items)
        return item.includes(' or ') ? ['array of (', item, ')'] : ['array of ', item]
      }
      if (type === 'object' && mapOf(own) && !own.properties) return ['object of ', typeLabel(mapOf(own))]
      return [type]
    })
    if (!words.length) return [own.not ? 'nothing' : 'any JSON']
    return [...join(words, ' or '), own.format && ` (${own.format})`]
  }

  function span(from, to, unit = '') {
    const words = unit && ` ${unit}`
    if (from === undefined && to === undefined) return undefined
    if (from === to) return `exactly ${number(from)}${words}`
    if (to === undefined) return `at least ${number(from)}${words}`
    return from === undefined ? `at most ${number(to)}${words}` : `${number(from)} to ${number(to)}${words}`
  }

  /** What a value must be like besides its type, and what it is like by default. */
  function factsOf(schema, withDefault = true) {
    const { exclusiveMinimum: above, exclusiveMaximum: below } = schema
    const example = schema.example ?? schema.examples?.[0]
    const facts = [
      withDefault && 'default' in schema && ['default ', code(schema.default)],
      'const' in schema && ['always ', code(schema.const)],
      schema.enum && ['one of ', join(schema.enum.map(code), ', ')],
      span(schema.minimum, schema.maximum),
      typeof above === 'number' && `above ${above}`,
      typeof below === 'number' && `below ${below}`,
      schema.multipleOf && `a multiple of ${schema.multipleOf}`,
      span(schema.minLength, schema.maxLength, 'characters'),
      schema.pattern && ['matches ', code(schema.pattern)],
      span(schema.minItems, schema.maxItems, 'items'),
      schema.uniqueItems && 'no item twice',
      span(schema.minProperties, schema.maxProperties, 'fields'),
      schema.additionalProperties === false && 'no other fields',
      schema.propertyNames && ['keys: ', join(factsOf(resolve(schema.propertyNames)), ', ')],
      schema.readOnly && 'set by the server',
      schema.writeOnly && 'never answered',
      example !== undefined && (typeof example !== 'object' || example === null) && ['such as ', code(example)]
    ]
    return facts.filter(Boolean)
  }

  const factsLine = (facts) => facts.length > 0 && make('p.facts', {}, join(facts, ' · '))

  /** The rows below a schema, and the documents that were opened on the way to them. */
  function partsOf(schema, trail) {
    const names = namesOf(schema)
    if (names.some((name) => trail.includes(name))) return { rows: [], trail, again: true }
    const way = [...trail, ...names]
    const whole = flatten(schema)
    const rows = []
    for (const [key, part] of Object.entries(whole.properties ?? {})) {
      rows.push([code(key), part, whole.required?.includes(key)])
    }
    for (const [pattern, part] of Object.entries(whole.patternProperties ?? {})) rows.push([code(`/${pattern}/`), part])
    if (mapOf(whole)) rows.push([rows.length ? 'any other key' : 'any key', mapOf(whole)])
    for (const [at, part] of (whole.prefixItems ?? []).entries()) rows.push([`item ${at + 1}`, part])
    if (whole.items) {
      const inner = partsOf(whole.items, way)
      if (!rows.length && (inner.rows.length || inner.again)) return inner
      const item = resolve(whole.items)
      if (rows.length) rows.push(['more items', whole.items])
      else if (item.description || factsOf(item).length) rows.push(['each item', whole.items])
    }
    for (const [at, part] of (optionsOf(whole) ?? []).entries()) {
      rows.push([resolve(part).title ?? `option ${at + 1}`, part])
    }
    return { rows, trail: way }
  }

  /** A `<details>` whose content is made when it is first opened. */
  function lazily(kind, attributes, summary, build) {
    const details = make(kind, attributes, make('summary', {}, summary))
    details.build = () => {
      details.build = undefined
      details.append(...[build()].flat(9).filter((node) => node instanceof Node))
    }
    details.addEventListener('toggle', () => details.build?.())
    return details
  }

  function openNow(details) {
    details.build?.()
    details.open = true
  }

  function tree(schema, trail = [], depth = 0) {
    const { rows, trail: way } = partsOf(schema, trail)
    const items = rows.map(([name, part, required]) => row(name, part, { required }, way, depth))
    return items.length > 0 && make('ul.tree', {}, items)
  }

  function row(name, schema, { required, description }, trail = [], depth = 0) {
    const whole = flatten(schema)
    const known = nameOf(schema)
    // Where a document is only referred to, its first paragraph is enough.
    const words = known && schema.description === undefined ? firstParagraph(whole.description) : whole.description
    const below = partsOf(schema, trail)
    const inner = () => tree(schema, trail, depth + 1)
    const isOpen = below.trail.length === trail.length && depth < 3
    return make('li', {},
      make('p.head', {}, make('span.name', {}, name), ' ', make('span.type', {}, typeLabel(schema)),
        flag(required, required === true ? 'required' : required), flag(below.again, 'as above'),
        flag(whole.deprecated, 'deprecated')),
      prose(description ?? words), factsLine(factsOf(whole)),
      below.rows.length > 0 && isOpen && inner(),
      below.rows.length > 0 && !isOpen && lazily('details.below', {}, ['Fields', known && ` of ${known}`], inner))
  }

  /** A value that fits a schema: its own example, or one that is made up. */
  function sample(schema, isRequest, trail = []) {
    const names = namesOf(schema)
    if (names.some((name) => trail.includes(name))) return undefined
    const way = [...trail, ...names]
    const whole = flatten(schema)
    for (const value of [whole.example, whole.examples?.[0], whole.const, whole.default, whole.enum?.[0]]) {
      if (value !== undefined) return value
    }
    const option = optionsOf(whole)?.map((one) => sample(one, isRequest, way)).find((value) => value !== undefined)
    const isMap = option && typeof option === 'object' && !Array.isArray(option)
    if (option !== undefined && !(isMap && whole.properties)) return option
    const { format, minimum, exclusiveMinimum, minLength = 0, maxLength } = whole
    switch (typesOf(whole).find((type) => type !== 'null')) {
      case 'object': {
        const made = {}
        for (const [key, part] of Object.entries(whole.properties ?? {})) {
          const { readOnly, writeOnly, deprecated } = flatten(part)
          const value = (isRequest ? readOnly : writeOnly) || deprecated ? undefined : sample(part, isRequest, way)
          if (value !== undefined) made[key] = value
        }
        const value = mapOf(whole) && !Object.keys(made).length ? sample(mapOf(whole), isRequest, way) : undefined
        return { ...made, ...(value !== undefined && { key: value }), ...option }
      }
      case 'array': {
        const items = (whole.prefixItems ?? [whole.items ?? {}]).map((item) => sample(item, isRequest, way))
        return items.filter((item) => item !== undefined)
      }
      case 'integer':
      case 'number': return minimum ?? (typeof exclusiveMinimum === 'number' ? exclusiveMinimum + 1 : 0)
      case 'boolean': return true
      case 'string': {
        const known = { date: '2024-01-31', 'date-time': '2024-01-31T12:00:00Z', uri: 'https://example.com/' }
        return known[format] ?? 'text'.padEnd(minLength, 'x').slice(0, maxLength)
      }
      default: return 'value'
    }
  }

  /** JSON with other white space; numbers stay the text that they are, however long. */
  function reformat(text, indent) {
    JSON.parse(text)
    let depth = 0
    const line = () => indent && `\n${indent.repeat(depth)}`
    const tokens = text.match(/"(?:[^"\\]+|\\.)*"|[[\]{},:]|[^\s[\]{},:"]+/g)
    return tokens.map((token, at) => {
      const isEmpty = /[[{]/.test(tokens[at - 1]) && tokens[at - 1].length === 1
      if (token === ',') return token + line()
      if (token === ':') return indent ? ': ' : token
      if (token === '{' || token === '[') {
        depth += 1
        return /^[\]}]$/.test(tokens[at + 1]) ? token : token + line()
      }
      if (token !== '}' && token !== ']') return token
      depth -= 1
      return isEmpty ? token : line() + token
    }).join('')
  }

  function tryReformat(text, indent) {
    try {
      return reformat(text, indent)
    } catch {
      return text
    }
  }

  // Operations.

  function mergeParameters(...lists) {
    const merged = new Map()
    for (const one of lists.flatMap((list) => list ?? []).map(resolve)) merged.set(`${one.in} ${one.name}`, one)
    return [...merged.values()]
  }

  const schemaOf = (parameter) => parameter.schema ?? Object.values(parameter.content ?? {})[0]?.schema ?? {}

  function readOperations() {
    return Object.entries(api.paths).flatMap(([path, reference]) => {
      const item = resolve(reference)
      return METHODS.filter((method) => item[method]).map((method) => {
        const operation = item[method]
        const body = operation.requestBody && resolve(operation.requestBody)
        const mediaTypes = Object.keys(body?.content ?? {})
        const mediaType = mediaTypes.find((type) => /\bjson\b/.test(type)) ?? mediaTypes[0]
        const media = body?.content?.[mediaType]
        const tag = operation.tags?.[0] ?? 'Other'
        const words = [method, path, operation.summary, operation.operationId, ...(operation.tags ?? [tag])]
        return {
          ...operation, method, path, body, mediaType, tag,
          id: operation.operationId ?? slug(`${method}${path}`),
          parameters: mergeParameters(item.parameters, operation.parameters),
          bodyText: /json/.test(mediaType) ? JSON.stringify(examplesOf(media, true)[0][1], null, 2) ?? '' : '',
          keyHeader: keyHeader(operation),
          haystack: words.join(' ').toLowerCase()
        }
      })
    })
  }

  /** [title, value] of each example of a body; without one, what its schema says. */
  function examplesOf(media, isRequest) {
    if (media.example !== undefined) return [['Example', media.example]]
    const named = Object.entries(media.examples ?? {}).map(([name, reference]) => {
      const { summary = name, value } = resolve(reference)
      return [summary, value]
    })
    return named.length ? named : [['Example', sample(media.schema ?? {}, isRequest)]]
  }

  /** The header that takes the API key, or `undefined` where none is taken. */
  function keyHeader(operation) {
    const names = (operation.security ?? api.security ?? []).flatMap(Object.keys)
    const schemes = names.map((name) => resolve(api.components?.securitySchemes?.[name]))
    return schemes.find((scheme) => scheme.type === 'apiKey' && scheme.in === 'header')?.name
  }

  const pathParts = (path) => path.split(/(\{[^}]+\})/)
  const shapeOf = (path) => path.replace(/\{[^}]+\}/g, '{}')
  // The property's key is no API key, which commands have in a variable of that name.
  const plainName = (name) => (name === 'key' ? 'propertyKey' : name)
  const shellName = (name) => `$${plainName(name).replace(/([a-z\d])([A-Z])/g, '$1_$2').replace(/\W/g, '_').toUpperCase()}`
  const shellText = (text) => `'${text.replaceAll("'", "'\\''")}'`
  const encode = (text) => encodeURIComponent(text).replaceAll('!', '%21')

  /** A path with its parameters filled in; `missing` says what replaces a value that is not there. */
  function fillPath(path, values, missing) {
    return pathParts(path).map((part, at) => {
      if (at % 2 === 0) return part
      const name = part.slice(1, -1)
      const given = values[`path ${name}`]
      return given ? encode(given) : missing?.(name) ?? ''
    }).join('')
  }

  /** The address; `missing` says what replaces a required value that is not there. */
  function address(operation, values, missing) {
    const query = operation.parameters.filter((one) => one.in === 'query').flatMap((one) => {
      const given = values[`query ${one.name}`]
      if (!given) return one.required && missing ? [`${encode(one.name)}=${missing(one.name)}`] : []
      const isRepeated = one.explode !== false && typesOf(resolve(schemaOf(one))).includes('array')
      return (isRepeated ? given.split(',') : [given]).map((item) => `${encode(one.name)}=${encode(item)}`)
    })
    return location.origin + fillPath(operation.path, values, missing) + (query.length ? `?${query.join('&')}` : '')
  }

  function curl(operation, values, bodyText) {
    const { method, mediaType, keyHeader: header, parameters } = operation
    const lines = []
    const hasBody = mediaType && bodyText
    if (method === 'head') lines.push('-I')
    else if (method !== (hasBody ? 'post' : 'get')) lines.push(`-X ${method.toUpperCase()}`)
    lines.push(`"${address(operation, values, shellName)}"`)
    if (header) lines.push(`-H "${header}: $API_KEY"`)
    for (const one of parameters.filter((each) => each.in === 'header')) {
      const given = values[`header ${one.name}`]
      if (given) lines.push(`-H ${shellText(`${one.name}: ${given}`)}`)
      else if (one.required) lines.push(`-H "${one.name}: ${shellName(one.name)}"`)
    }
    if (hasBody) lines.push(`-H 'Content-Type: ${mediaType}'`, `-d ${shellText(tryReformat(bodyText, ''))}`)
    return `curl ${lines.join(' \\\n  ').replace(/^(-I|-X \w+) \\\n {2}/, '$1 ')}`
  }

  async function copy(node, button) {
    try {
      await navigator.clipboard.writeText(node.textContent)
    } catch {
      // Browsers have no clipboard for pages without TLS, except on this machine.
      getSelection().selectAllChildren(node)
      document.execCommand('copy')
    }
    button.textContent = 'Copied'
    setTimeout(() => { button.textContent = 'Copy' }, 2000)
  }

  /** A text with a button that copies it; `line` is where the text can be changed. */
  function copyable(text) {
    const line = make('code', {}, text)
    const button = make('button.quiet', { type: 'button', 'aria-live': 'polite' }, 'Copy')
    button.addEventListener('click', () => copy(line, button))
    return { line, node: make('div.curl', {}, make('pre', {}, line), button) }
  }

  function pathNode(path) {
    const plain = (text) => text.split(/(?<=\/)/).map((piece) => [make('wbr'), piece])
    return make('code.path', {}, pathParts(path).map((part, at) => (at % 2 ? make('var', {}, part) : plain(part))))
  }

  const flag = (isSet, word = 'required') => isSet && [' ', make('span.required', {}, word)]
  const badge = (method) => make(`span.method.${method}`, {}, method.toUpperCase())

  function parameterTable(parameters) {
    const cell = (title, ...children) => make('td', { role: 'cell', 'data-title': title }, children)
    const titles = ['Name', 'In', 'Type', 'Default', 'Description']
    const heads = titles.map((title) => make('th', { scope: 'col', role: 'columnheader' }, title))
    // Roles are said since narrow screens show the rows as blocks, which would make them no table any more.
    return make('table', { role: 'table', 'aria-label': 'Parameters' },
      make('thead', { role: 'rowgroup' }, make('tr', { role: 'row' }, heads)),
      make('tbody', { role: 'rowgroup' }, parameters.map((one) => {
        const schema = flatten(schemaOf(one))
        const example = one.example ?? Object.values(one.examples ?? {}).map(resolve)[0]?.value
        const facts = factsOf({ ...schema, ...(example !== undefined && { example }) }, false)
        return make('tr', { role: 'row' },
          make('th', { scope: 'row', role: 'rowheader' },
            code(one.name), flag(one.required), flag(one.deprecated, 'deprecated')),
          cell('In', one.in), cell('Type', typeLabel(schemaOf(one))),
          cell('Default', 'default' in schema && code(schema.default)),
          cell('', prose(one.description ?? schema.description), factsLine(facts)))
      })))
  }

  function bodyNodes(content, isRequest) {
    return Object.entries(content ?? {}).flatMap(([mediaType, media]) => [
      make('p.head', {}, code(mediaType), media.schema && [' ', make('span.type', {}, typeLabel(media.schema))]),
      media.schema && [prose(media.schema.description), factsLine(factsOf(resolve(media.schema))), tree(media.schema)],
      /json/.test(mediaType) && examplesOf(media, isRequest).map(([title, value]) => exampleNode(title, value))
    ])
  }

  function exampleNode(title, value) {
    const text = JSON.stringify(value, null, 2)
    return text !== undefined && make('details.below', {}, make('summary', {}, title), pre(text, title))
  }

  function responseNode(status, response) {
    const { description, headers = {}, content = {} } = resolve(response)
    const title = [make('span.status', { 'data-kind': status[0] }, status), ' ', inline(description ?? '')]
    const rows = Object.entries(headers).map(([name, reference]) => {
      const header = resolve(reference)
      const { required, description: words } = header
      return row(code(name), schemaOf(header), { required: required && 'always', description: words })
    })
    if (!rows.length && !Object.keys(content).length) return make('div.response', {}, make('p', {}, title))
    const details = lazily('details.response', {}, title, () => [
      rows.length > 0 && [make('h5', {}, 'Headers'), make('ul.tree', {}, rows)],
      Object.keys(content).length > 0 && [make('h5', {}, 'Body'), bodyNodes(content, false)]
    ])
    if (status[0] === '2') openNow(details)
    return details
  }

  const kindNodes = (kinds) => kinds.map((kind) => [make('span.kind', {}, kind), ' '])
  const isSameResource = (operation, topic) => operation['x-topic'] && shapeOf(operation.path) === shapeOf(topic.address)

  function topicOf(operation) {
    const topic = operation['x-topic']
    const found = topics.find((one) => isSameResource(operation, one))
    if (found) return [make('a', { href: `#${found.id}` }, code(found.address)), ` – ${found.ways.join(' / ')}`]
    if (typeof topic !== 'string') return 'publish / subscribe'
    return topic.startsWith('/') ? [code(topic), ' – publish / subscribe'] : inline(topic)
  }

  function whoNodes(operation) {
    const kinds = operation['x-api-keys'] ?? []
    const isOpen = !operation.keyHeader || (operation.security ?? api.security).some((one) => !Object.keys(one).length)
    const anyClient = isOpen ? 'any client, without an API key' : 'any API key'
    return [
      make('p', {}, make('strong', {}, 'Who may call it:'), ' ',
        kinds.length ? kindNodes(kinds) : anyClient),
      operation['x-topic'] && make('p', {}, make('strong', {}, 'Also a topic:'), ' ', topicOf(operation))
    ]
  }

  function operationBody(operation) {
    const { parameters, body, responses = {} } = operation
    const { line, node } = copyable(curl(operation, {}, operation.bodyText))
    return make('div.body', {},
      operation.deprecated && make('p', {}, make('strong', {}, 'Deprecated')),
      prose(operation.description),
      make('div.who', {}, whoNodes(operation)),
      parameters.length > 0 && [make('h4', {}, 'Parameters'), parameterTable(parameters)],
      body && make('h4', {}, 'Request body', flag(body.required)),
      body && [prose(body.description), bodyNodes(body.content, true)],
      make('h4', {}, 'Responses'), Object.entries(responses).map((one) => responseNode(...one)),
      make('h4', {}, 'With curl'), node,
      lazily('details.try', {}, make('h4', {}, 'Try it'), () => tryForm(operation, line)))
  }

  // Try it.

  function control(parameter) {
    const schema = resolve(schemaOf(parameter))
    const types = typesOf(schema)
    const choices = schema.enum ?? (types.includes('boolean') ? [true, false] : undefined)
    // Only a path needs its values to be sent at all; how the server refuses the rest can be tried.
    const attributes = { name: `${parameter.in} ${parameter.name}`, required: parameter.in === 'path', ...PLAIN }
    if (choices) {
      const none = make('option', { value: '' }, 'default' in schema ? `not said (${schema.default})` : 'not said')
      return make('select', attributes, none, choices.map((choice) => make('option', {}, String(choice))))
    }
    const example = parameter.example ?? schema.example ?? schema.examples?.[0]
    let placeholder = types.includes('array') ? 'with commas between' : undefined
    if (example !== undefined) placeholder = `such as ${example}`
    if ('default' in schema) placeholder = `${schema.default} if not said`
    const inputmode = types.some((type) => type === 'integer' || type === 'number') ? 'decimal' : undefined
    return make('input', { ...attributes, placeholder, inputmode })
  }

  function tryForm(operation, line) {
    const { parameters, mediaType, bodyText, method } = operation
    const fields = parameters.filter((one) => one.in !== 'cookie')
    const rows = Math.min(16, bodyText.split('\n').length + 1)
    const area = mediaType && make('textarea', { rows, ...PLAIN }, bodyText)
    const button = make('button', { type: 'submit' }, `Send ${method.toUpperCase()}`)
    const state = make('p.state', { role: 'status' })
    const result = make('div.result')
    const labels = fields.map((one) => {
      return make('label', {}, make('span', {}, code(one.name), ` in ${one.in}`, flag(one.required)), control(one))
    })
    const form = make('form.fields', { 'aria-label': `Try ${operation.summary ?? operation.path}` }, labels,
      area && make('label.wide', {}, make('span', {}, 'Body ', code(mediaType)), area),
      make('div.row.wide', {}, button, state), result)
    fillExample(operation, area)
    const names = fields.map((one) => `${one.in} ${one.name}`)
    const values = () => Object.fromEntries(names.map((name) => [name, form.elements.namedItem(name).value.trim()]))
    form.addEventListener('input', () => { line.textContent = curl(operation, values(), area?.value) })
    form.addEventListener('submit', async (event) => {
      event.preventDefault()
      button.disabled = true
      state.dataset.kind = ''
      state.textContent = 'Waiting for the answer …'
      result.replaceChildren()
      await fillExample(operation, area)
      await send(operation, values(), area?.value, state, result, form)
      button.disabled = false
    })
    return form
  }

  /** Puts what is there into an example that names something: the newest of a list, or a field of the last answer. */
  async function fillExample(operation, area) {
    const { text, list, field } = operation['x-example-from'] ?? {}
    if (!area || !text || !area.value.includes(`"${text}"`)) return
    const found = list ? await newestOf(list) : lastAnswer?.[field]
    if (!found) return
    area.value = area.value.replace(`"${text}"`, JSON.stringify(found))
    area.dispatchEvent(new Event('input', { bubbles: true }))
  }

  async function newestOf(list) {
    if (!readKey()) return undefined
    try {
      const answer = await fetch(`/${list}?perPage=1`, { headers: { authorization: readKey() }, credentials: 'omit' })
      return answer.ok ? (await answer.json())[0]?.id : undefined
    } catch {
      return undefined
    }
  }

  async function send(operation, values, bodyText, state, result, form) {
    const started = performance.now()
    try {
      const headers = {}
      for (const [name, value] of Object.entries(values)) {
        if (value && name.startsWith('header ')) headers[name.slice(7)] = value
      }
      const key = readKey()
      if (operation.keyHeader && key) headers[operation.keyHeader] = key
      const method = operation.method.toUpperCase()
      const body = bodyText && method !== 'GET' && method !== 'HEAD' ? bodyText : undefined
      if (body) headers['Content-Type'] = operation.mediaType
      const how = { method, headers, body, cache: 'no-store', credentials: 'omit' }
      const answer = await fetch(address(operation, values), how)
      const text = await answer.text()
      const duration = Math.max(1, Math.round(performance.now() - started))
      state.dataset.kind = String(answer.status)[0]
      state.textContent = `${answer.status} ${answer.statusText} · ${duration} ms · ${number(text.length)} characters`
      if (answer.status === 401 && !key) state.textContent += ' · no API key is entered at the top of this page'
      if (answer.ok) rememberAnswer(text)
      showAnswer(answer.headers, text, result, form)
    } catch (error) {
      state.dataset.kind = '5'
      state.textContent = `No answer: ${error.message}. See whether the server is running.`
    }
  }

  function rememberAnswer(text) {
    try {
      lastAnswer = JSON.parse(text)
    } catch {
      // An answer without a document brings nothing that an example could name.
    }
  }

  function showAnswer(headers, text, result, form) {
    const shown = SHOWN_HEADERS.filter((name) => headers.has(name))
    const lines = shown.map((name) => [make('dt', {}, name), make('dd', {}, headers.get(name))])
    if (shown.length) result.append(make('dl', {}, lines))
    const next = /<([^>]*)>;\s*rel="?next/.exec(headers.get('link') ?? '')?.[1]
    if (next) result.append(nextButton(next, form))
    if (!text) return
    const whole = text.length > 5 * SHOWN_CHARS_MAX ? text : tryReformat(text, '  ')
    const cut = whole.length > SHOWN_CHARS_MAX
    result.append(pre(cut ? whole.slice(0, SHOWN_CHARS_MAX) : whole, 'Body of the answer'))
    if (cut) result.append(make('p.hint', {}, `The first ${number(SHOWN_CHARS_MAX)} characters are shown.`))
  }

  /** Fills the form from the address of a list's next page and sends it. */
  function nextButton(next, form) {
    const button = make('button.quiet', { type: 'button' }, 'Next page')
    button.addEventListener('click', () => {
      const { searchParams } = new URL(/^https?:\/\//.test(next) ? next : decodeURIComponent(next), location)
      for (const [name, value] of searchParams) {
        const field = form.elements.namedItem(`query ${name}`)
        if (field) field.value = value
      }
      form.dispatchEvent(new Event('input'))
      form.requestSubmit()
    })
    return button
  }

  // Topics. AsyncAPI speaks for the server: what it receives is published by clients, what it sends is delivered.

  function readTopics() {
    const read = Object.entries(topicApi.channels).map(([name, reference]) => {
      const channel = resolve(reference)
      const { address: path = name, title = '' } = channel
      const publish = readAction('receive', reference, channel)
      const subscribe = readAction('send', reference, channel)
      const ways = [publish && 'publish', subscribe && 'subscribe'].filter(Boolean)
      const parameters = Object.entries(channel.parameters ?? {}).map(([key, one]) => {
        const { description, location: place, ...facts } = resolve(one)
        return { name: key, in: 'path', required: true, description, schema: { type: 'string', ...facts } }
      })
      const [written] = publish?.messages ?? []
      const example = written?.examples?.[0]?.payload ?? (written && sample(written.payload ?? {}, true))
      const exampleText = publish ? JSON.stringify(example, null, 2) ?? '' : ''
      const about = channel.summary ?? (subscribe ?? publish)?.messages.map((one) => one.title).join(' ') ?? ''
      const words = ['topic', ...ways, path, title, about, publish?.summary]
      const haystack = words.join(' ').toLowerCase()
      return { name, address: path, publish, subscribe, ways, parameters, exampleText, about, haystack }
    })
    return read.sort((a, b) => (a.address < b.address ? -1 : 1))
  }

  function readAction(action, channelReference, channel) {
    const isIts = (one) => one.action === action && target(one.channel?.$ref ?? '') === channelReference
    const found = Object.values(topicApi.operations ?? {}).map(resolve).find(isIts)
    return found && { ...found, messages: (found.messages ?? Object.values(channel.messages ?? {})).map(resolve) }
  }

  const socketOrigin = () => `${location.protocol.replace('http', 'ws')}//${location.host}`

  /** Where a server is, seen from here; the web server that brought this page serves its WebSockets as well. */
  function serverAddress({ protocol, host = '', pathname = '', variables = {} }) {
    if (/^wss?$/.test(protocol)) return socketOrigin() + pathname
    const known = { host: location.hostname }
    const filled = host.replace(/\{([^}]+)\}/g, (all, name) => known[name] ?? resolve(variables[name]).default ?? all)
    return `${protocol}://${filled}${pathname}`
  }

  function serverNode(reference) {
    const server = resolve(reference)
    const { protocol, protocolVersion, title, description } = server
    return make('li', {},
      make('p.head', {}, make('span.name', {}, code(serverAddress(server))), ' ',
        make('span.type', {}, title ?? [protocol, protocolVersion].filter(Boolean).join(' '))),
      prose(description))
  }

  function topicsAbout() {
    const servers = Object.values(topicApi.servers ?? {})
    return make('div', { id: 'page-topics-about' }, prose(topicApi.info?.description),
      servers.length > 0 && [make('h3', {}, 'Servers'), make('ul.tree', {}, servers.map(serverNode))])
  }

  /** What a client subscribes to, or asks a socket for; values that are there are encoded, which MQTT takes as well. */
  function topicString(topic, values, missing, more = []) {
    const options = [...(values.state ? ['pubStates=1'] : []), ...more]
    return fillPath(topic.address, values, missing) + (options.length ? `?${options.join('&')}` : '')
  }

  /** [title, what writes it] of each line that uses a topic. */
  function linesOf(topic) {
    const { publish, subscribe } = topic
    const mqtt = Object.values(topicApi.servers ?? {}).map(resolve).find((one) => one.protocol === 'mqtt')
    const port = mqtt?.variables?.port?.default ?? '1883'
    const host = location.hostname.replace(/^\[|\]$/g, '')
    const login = `-h ${host} -p ${port} \\\n  -u authorization -P "$API_KEY" \\\n  -t`
    const scriptName = (name) => `\${${plainName(name).replace(/\W/g, '_')}}`
    const snippet = (values) => topicString(topic, values, scriptName, ['access_token=${apiKey}'])
    const bare = (values) => ({ ...values, state: false })
    return [
      subscribe && ['Subscribe by MQTT', (values) => {
        return `mosquitto_sub ${login} "${topicString(topic, values, shellName)}"`
      }],
      publish && ['Publish by MQTT', (values, text) => {
        const address = topicString(topic, bare(values), shellName)
        return `mosquitto_pub ${login} "${address}" \\\n  -m ${shellText(tryReformat(text, ''))}`
      }],
      ['In a browser', (values) => `new WebSocket(\`${socketOrigin()}${snippet(values)}\`)`]
    ].filter(Boolean)
  }

  function messageNode({ title, name, summary, payload, description }) {
    const below = payload && partsOf(payload, [])
    const known = nameOf(payload)
    return make('div.response', {},
      make('p.head', {}, inline(title ?? summary ?? name ?? 'A message'), ' ',
        payload && make('span.type', {}, typeLabel(payload))),
      prose(description),
      below?.rows.length > 0 && lazily('details.below', {}, ['Fields', known && ` of ${known}`], () => tree(payload)))
  }

  function actionNodes(title, verb, action, ...more) {
    const kinds = action['x-api-keys'] ?? []
    return [
      make('h4', {}, title), action.messages.map(messageNode), more,
      make('p.who', {}, make('strong', {}, `Who may ${verb}:`), ' ', kinds.length ? kindNodes(kinds) : 'any API key')
    ]
  }

  function topicBody(topic) {
    const { publish, subscribe, parameters, exampleText } = topic
    const lines = linesOf(topic).map(([title, write]) => ({ title, write, ...copyable(write({}, exampleText)) }))
    const rewrite = (values, text) => {
      for (const { line, write } of lines) line.textContent = write(values, text)
    }
    const same = operations.filter((one) => isSameResource(one, topic)).map((one) => {
      return make('a', { href: `#${one.id}` }, code(`${one.method.toUpperCase()} ${one.path}`))
    })
    const rows = parameters.map((one) => row(code(one.name), one.schema, one))
    return make('div.body', {},
      same.length > 0 && make('p', {}, make('strong', {}, 'By REST:'), ' ', join(same, ', ')),
      rows.length > 0 && [make('h4', {}, 'Parameters'), make('ul.tree', {}, rows)],
      publish && actionNodes('What is published', 'publish', publish, pre(exampleText, 'Example')),
      subscribe && actionNodes('What is delivered', 'subscribe', subscribe),
      lines.map(({ title, node }) => [make('h4', {}, title), node]),
      lazily('details.try', {}, make('h4', {}, 'Watch it'), () => watchForm(topic, rewrite)))
  }

  // Watch it.

  function watchForm(topic, rewrite) {
    const { address: path, parameters, publish, exampleText } = topic
    const labels = parameters.map((one) => {
      return make('label', {}, make('span', {}, code(one.name), flag(true)), control(one))
    })
    const withState = make('input', { type: 'checkbox', name: 'state' })
    const watch = make('button', { type: 'submit' }, 'Watch')
    const leave = make('button.quiet', { type: 'button', disabled: true }, 'Close')
    const state = make('p.state', { role: 'status' })
    const log = messageLog()
    const rows = Math.min(16, exampleText.split('\n').length + 1)
    const area = publish && make('textarea', { rows, ...PLAIN }, exampleText)
    const say = publish && make('button', { type: 'button', disabled: true }, 'Publish')
    const form = make('form.fields', { 'aria-label': `Watch ${path}` }, labels,
      make('label.wide.check', {}, withState, make('span', {}, 'Bring the current value first ', code('pubStates=1'))),
      make('div.row.wide', {}, watch, leave, state), log.node,
      publish && [make('label.wide', {}, 'Message to publish', area), make('div.row.wide', {}, say)])

    const values = () => Object.fromEntries([
      ['state', withState.checked],
      ...parameters.map(({ name }) => [`path ${name}`, form.elements.namedItem(`path ${name}`).value.trim()])
    ])
    const tell = (kind, text) => {
      state.dataset.kind = kind
      state.textContent = text
    }
    const enable = (isOpen, isOver) => {
      const isFocused = form.contains(document.activeElement) && document.activeElement.localName === 'button'
      for (const field of form.querySelectorAll('label:not(.wide) > *, .check > input')) field.disabled = !isOver
      watch.disabled = !isOver
      leave.disabled = isOver
      if (say) say.disabled = !isOpen
      // A button that is disabled loses the focus to nothing.
      if (isFocused && document.activeElement?.disabled !== false) (isOver ? watch : leave).focus()
    }
    let socket
    form.addEventListener('input', () => rewrite(values(), area?.value ?? ''))
    form.addEventListener('submit', (event) => {
      event.preventDefault()
      if (!readKey()) return tell('4', 'Enter an API key at the top of this page first.')
      const asked = topicString(topic, values())
      log.clear()
      tell('', 'Opening …')
      enable(false, false)
      socket = openSocket(topicString(topic, values(), undefined, [`access_token=${encode(readKey())}`]), {
        opened: () => {
          enable(true, false)
          tell('2', `Watching ${asked}`)
        },
        told: log.add,
        ended: (...how) => {
          enable(false, true)
          tell(...how)
        }
      })
    })
    leave.addEventListener('click', () => socket.leave())
    say?.addEventListener('click', () => socket.send(area.value))
    return form
  }

  function openSocket(path, { opened, told, ended }) {
    const refused = 'Refused, or not answered. A browser does not learn why: the API key, an id or a right may be wrong.'
    let socket
    let wasOpen = false
    let wasLeft = false
    try {
      socket = new WebSocket(socketOrigin() + path)
    } catch (error) {
      return ended('5', `The browser does not open the socket: ${error.message}`)
    }
    socket.addEventListener('open', () => {
      wasOpen = true
      opened()
    })
    socket.addEventListener('message', ({ data }) => told(String(data)))
    socket.addEventListener('close', ({ code: number, reason }) => {
      if (wasLeft) ended('', 'Closed.')
      else if (wasOpen) ended('5', `The connection ended: ${reason || `code ${number}`}.`)
      else ended('5', refused)
    })
    const leave = () => {
      wasLeft = true
      socket.close()
    }
    return { leave, send: (text) => socket.send(text) }
  }

  /** The last messages, the newest at the end, which stays in view unless the user has scrolled away from it. */
  function messageLog() {
    const list = make('div.messages', { role: 'log', tabindex: 0, 'aria-label': 'Messages' })
    const count = make('p.hint')
    const node = make('div.wide', { hidden: true }, list, count)
    let total = 0
    const clear = () => {
      total = 0
      list.replaceChildren()
      node.hidden = true
    }
    const add = (text) => {
      const isAtEnd = node.hidden || list.scrollTop + list.clientHeight > list.scrollHeight - 8
      total += 1
      node.hidden = false
      list.append(messageItem(text))
      if (list.childElementCount > MESSAGES_MAX) list.firstChild.remove()
      const isCut = total > MESSAGES_MAX
      count.textContent = isCut ? `The last ${MESSAGES_MAX} of ${number(total)} messages` : ''
      if (isAtEnd) list.scrollTop = list.scrollHeight
    }
    return { node, clear, add }
  }

  function messageItem(text) {
    const isCut = text.length > MESSAGE_CHARS_MAX
    const status = refusalOf(text)
    return make('div', {},
      make('p.hint', {}, new Date().toLocaleTimeString('en-GB'),
        status && [' ', make('span.status', { 'data-kind': status[0] }, status), ' refused'],
        isCut && ` · the first ${number(MESSAGE_CHARS_MAX)} of ${number(text.length)} characters`),
      make('pre', {}, make('code', {}, isCut ? text.slice(0, MESSAGE_CHARS_MAX) : tryReformat(text, '  '))))
  }

  /** The status of the error document that answers a message which could not be published. */
  function refusalOf(text) {
    try {
      const { status, errors, moreInfo } = JSON.parse(text)
      return Array.isArray(errors) && moreInfo !== undefined && String(status)
    } catch {
      return undefined
    }
  }

  // The key lives in sessionStorage: in this tab, until it is closed.

  const readKey = () => sessionStorage.getItem(KEY_NAME) ?? ''

  function keepKey(key) {
    if (key) sessionStorage.setItem(KEY_NAME, key)
    else sessionStorage.removeItem(KEY_NAME)
    find('page-key-forget').disabled = !key
    find('page-key-status').textContent = key
      ? `${key.length} characters, kept in this tab until you forget or close it.`
      : 'For “Try it” and “Watch it”. Kept in this tab only, and sent to this server only.'
  }

  function startKey() {
    const field = find('page-key-input')
    field.value = readKey()
    keepKey(field.value)
    field.addEventListener('input', () => keepKey(field.value.trim()))
    find('page-key').addEventListener('submit', (event) => event.preventDefault())
    find('page-key-forget').addEventListener('click', () => {
      field.value = ''
      keepKey('')
      field.focus()
    })
  }

  // The page.

  function entryNode(id, title, entry, build) {
    const details = lazily('details.entry', { id }, title, build)
    details.firstChild.addEventListener('click', () => {
      if (!details.open) mark(id)
    })
    return Object.assign(entry, { id, details })
  }

  function navList(title, id, about, entries) {
    const list = make('ul', {}, entries.map((entry) => {
      entry.item = make('li', {}, make('a', { href: `#${entry.id}` }, entry.nav))
      return entry.item
    }))
    const heading = make('a.tag', { href: `#${id}` }, title)
    return make('section', {}, heading, about && make('p.hint', {}, inline(about)), list)
  }

  function addGroup(title, id, about, entries, shown = prose(about)) {
    if (!entries.length) return
    const parts = [make('h2', { id }, title), shown, entries.map((entry) => entry.details)]
    const group = make('section', { 'aria-labelledby': id }, parts)
    const nav = navList(title, id, firstParagraph(about), entries)
    find('page-operations').append(group)
    find('page-nav').append(nav)
    for (const entry of entries) entry.groups = [group, nav]
  }

  function render() {
    const { info = {}, components = {}, externalDocs } = api
    document.title = info.title ?? 'API reference'
    find('page-title').replaceChildren(document.title, ' ', make('span.version', {}, info.version ?? ''))
    const { license } = info
    const links = [
      make('a', { href: SOURCE }, 'OpenAPI document'),
      topicApi && make('a', { href: TOPICS_SOURCE }, 'AsyncAPI document'),
      externalDocs && link(externalDocs.url, externalDocs.description ?? 'More documents'),
      license && (license.url ? link(license.url, license.name) : license.name)
    ]
    const line = make('p.hint', {}, join(links.filter(Boolean), ' · '))
    find('page-about').replaceChildren(...markdown(info.description), line)

    operations = readOperations()
    renderTopics()
    for (const operation of operations) {
      const { id, method, path, summary = '', deprecated } = operation
      operation.nav = [badge(method), make('span', {}, summary || path)]
      const words = make(deprecated ? 's' : 'span.summary', {}, inline(summary))
      const title = [make('h3', {}, badge(method), ' ', pathNode(path)), words]
      entryNode(id, title, operation, () => operationBody(operation))
    }
    const told = new Map((api.tags ?? []).map((tag) => [tag.name, tag.description]))
    for (const tag of new Set([...told.keys(), ...operations.map((one) => one.tag)])) {
      addGroup(tag, `tag-${slug(tag)}`, told.get(tag), operations.filter((one) => one.tag === tag))
    }

    const schemas = Object.entries({ ...topicApi?.components?.schemas, ...components.schemas })
    documents = schemas.sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, schema]) => {
      const entry = { nav: [make('span', {}, name)], haystack: name.toLowerCase() }
      const words = make('span.summary', {}, inline(firstParagraph(schema.description) ?? schema.title ?? ''))
      return entryNode(documentId(name), [make('h3', {}, code(name)), words], entry, () => documentBody(name, schema))
    })
    addGroup('Documents', 'page-documents', 'What is sent and answered, by name.', documents)
    if (!components.securitySchemes) find('page-key').hidden = true
    find('page-body').hidden = false
    search()
  }

  /** What is wrong with the topics does not keep the rest from being shown. */
  function renderTopics() {
    try {
      if (!topicProblem) {
        topics = readTopics().map((topic) => {
          topic.nav = [make('span', {}, pathNode(topic.address))]
          const badges = make('span.ways', {}, topic.ways.map((way) => [make(`span.method.${way}`, {}, way), ' ']))
          const head = make('h3', {}, pathNode(topic.address), ' ', badges)
          const title = [head, make('span.summary', {}, inline(topic.about))]
          return entryNode(`topic-${slug(topic.name)}`, title, topic, () => topicBody(topic))
        })
        addGroup('Topics', 'page-topics', topicApi.info?.description, topics, topicsAbout())
        return
      }
    } catch (error) {
      console.error(error)
      topics = []
      topicProblem = `could not be shown: ${error.message}.`
    }
    const words = make('p', {}, make('strong', {}, `${TOPICS_SOURCE} ${topicProblem}`),
      ' So the topics are missing here; the operations of REST are all there.')
    find('page-operations').append(make('section', { 'aria-labelledby': 'page-topics' },
      make('h2', { id: 'page-topics' }, 'Topics'), make('div.alert', {}, words)))
  }

  function documentBody(name, schema) {
    const more = schema.description?.split(/\n\s*\n/).slice(1).join('\n\n')
    const { example, examples } = schema
    return make('div.body', {}, prose(more), make('p.head', {}, make('span.type', {}, typeLabel(schema))),
      factsLine(factsOf(flatten(schema))), tree(schema, [name]),
      example === undefined && !examples ? exampleNode('Example', sample(schema, false, [name]))
        : [example, ...(examples ?? [])].map((one) => exampleNode('Example', one)))
  }

  function search() {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean)
    const groups = new Set(entries().flatMap((entry) => entry.groups))
    for (const group of groups) group.hidden = true
    for (const entry of entries()) {
      const fits = words.every((word) => entry.haystack.includes(word))
      entry.details.hidden = entry.item.hidden = !fits
      if (fits) for (const group of entry.groups) group.hidden = false
    }
    const about = find('page-topics-about')
    if (about) about.hidden = words.length > 0
    const total = entries().length
    const shown = entries().filter((entry) => !entry.details.hidden).length
    const part = shown === total ? '' : `${shown || 'none'} of `
    find('page-search-status').textContent = `${part}${total} entries`
    // The first hit is brought into view where the page was scrolled past it.
    const top = find('page-operations')
    if (words.length && top.getBoundingClientRect().top < 0) top.scrollIntoView()
  }

  function askedId() {
    try {
      return decodeURIComponent(location.hash.slice(1))
    } catch {
      return ''
    }
  }

  /** Puts an id into the address and marks it in the navigation. */
  function mark(id) {
    if (askedId() !== id) history.replaceState(null, '', `#${encodeURIComponent(id)}`)
    for (const entry of entries()) {
      if (entry.id === id) entry.item.firstChild.setAttribute('aria-current', 'true')
      else entry.item.firstChild.removeAttribute('aria-current')
    }
  }

  /** Shows what the address asks for. */
  function follow() {
    const node = find(askedId())
    if (!node) return
    if (node.closest('[hidden]')) {
      input.value = ''
      search()
    }
    if (node.localName === 'details') {
      openNow(node)
      mark(node.id)
      node.firstChild.focus({ preventScroll: true })
    }
    if (!wide.matches) find('page-contents').open = false
    node.scrollIntoView()
  }

  function startSearch() {
    input.addEventListener('input', search)
    find('page-search').addEventListener('submit', (event) => {
      event.preventDefault()
      const first = entries().find((entry) => !entry.details.hidden)
      if (!first) return
      openNow(first.details)
      mark(first.id)
      first.details.firstChild.focus()
    })
    input.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape') return
      input.value = ''
      search()
    })
    document.addEventListener('keydown', (event) => {
      const isTyping = event.target.closest('input, textarea, select')
      if (event.key !== '/' || event.ctrlKey || event.metaKey || event.altKey || isTyping) return
      event.preventDefault()
      input.focus()
      input.select()
    })
    const toggle = find('page-toggle')
    toggle.addEventListener('click', () => {
      const opens = toggle.textContent === 'Open all'
      toggle.textContent = opens ? 'Close all' : 'Open all'
      for (const { details } of entries()) {
        if (opens) openNow(details)
        else details.open = false
      }
    })
  }

  function fail(what, hint) {
    const again = make('button', { type: 'button' }, 'Try again')
    again.addEventListener('click', () => location.reload())
    find('page-about').replaceChildren()
    const box = make('div.alert', {}, make('p', {}, make('strong', {}, `${SOURCE} ${what}`)), make('p', {}, hint), again)
    find('page-alert').replaceChildren(box)
  }

  async function readTopicApi() {
    try {
      const signal = AbortSignal.timeout(TOPICS_PATIENCE)
      const answer = await fetch(TOPICS_SOURCE, { headers: { accept: 'application/json' }, signal })
      if (!answer.ok) return `was answered with ${answer.status} ${answer.statusText}.`
      const read = await answer.json()
      if (!/^3\./.test(read?.asyncapi) || !read.channels) return 'is no AsyncAPI 3 document.'
      topicApi = read
    } catch (error) {
      return `could not be read: ${error.message}.`
    }
    return undefined
  }

  async function load() {
    const other = 'Something else than the server may have answered: open the address by itself and see.'
    const topicsRead = readTopicApi()
    let answer
    try {
      answer = await fetch(SOURCE, { headers: { accept: 'application/json' } })
    } catch (error) {
      return fail(`could not be fetched: ${error.message}.`, 'See whether the server is running and can be reached from here.')
    }
    if (!answer.ok) {
      const hint = answer.status < 500
        ? 'It needs no API key: see whether a proxy in front of the server passes this path on.'
        : 'Try again in a moment, and look into the log of the server, or of a proxy in front of it.'
      return fail(`was answered with ${answer.status} ${answer.statusText}.`, hint)
    }
    try {
      api = await answer.json()
    } catch (error) {
      return fail(`is not JSON: ${error.message}.`, other)
    }
    if (!/^3\./.test(api?.openapi) || !api.paths) return fail('is no OpenAPI 3 document.', other)
    topicProblem = await topicsRead
    try {
      render()
      follow()
    } catch (error) {
      console.error(error)
      fail(`could not be shown: ${error.message}.`, 'Please report this; the document can still be read at its address.')
    }
  }

  startKey()
  startSearch()
  const contents = find('page-contents')
  contents.open = wide.matches
  wide.addEventListener('change', () => { contents.open = wide.matches })
  addEventListener('hashchange', follow)
  document.addEventListener('click', (event) => {
    const anchor = event.target.closest('a[href^="#"]')
    if (anchor && anchor.hash === location.hash) follow()
  })
  load()
})()
