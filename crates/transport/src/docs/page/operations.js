// Operations: their parameters, bodies, answers and commands.

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
