// The form that tries an operation, and its answer.

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
