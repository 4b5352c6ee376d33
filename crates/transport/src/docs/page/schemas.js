// References and schemas, as trees of fields and as samples.

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
