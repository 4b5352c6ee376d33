// The page: the key, the navigation, the search, and its start.

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
    const signal = AbortSignal.timeout(TOPICS_WAIT_MAX)
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
