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
