/**
 * What the pages of one property show and ask for: the form, the log, the state of the connection. Nothing here is about
 * Pub/Sub; that is `script.js` of each page.
 *
 * The form can be filled from the address, behind `?` or `#`: `key`, `thng`, `property`, `interval` (milliseconds) and
 * `server` (where this page was loaded from, if it is not said). With a key there the example starts by itself.
 *
 * The key leaves the address at once, and stays in this tab until it is closed; the thng takes its place there, so that
 * a reload goes on with both. That key is only for the server of this page: another one has to be given its own.
 */
const page = (() => {
  const LOG_ROWS_MAX = 200
  const find = (id) => document.getElementById(id)
  const [startForm, publishForm, stopButton, status, log] = ['start', 'publish', 'stop', 'status', 'log'].map(find)
  const startButton = startForm.querySelector('[type=submit]')
  /** Not the name that `/docs` has: these pages also connect to other servers. */
  const KEY_NAME = 'examples-api-key'
  const asked = new URLSearchParams(`${location.search.slice(1)}&${location.hash.slice(1)}`)
  // The origin alone: WebSocket and fetch() may resolve what is no complete address to different hosts.
  const server = new URL(asked.get('server') ?? '', location.origin).origin
  const isOwnServer = server === location.origin
  const intervalMs = Number(asked.get('interval') ?? 2000)
  const storedKey = isOwnServer && sessionStorage.getItem(KEY_NAME)
  /** Only as it was asked for: with a key in the address, or at a reload, which has the thng there. */
  const startsAlone = asked.has('key') || (asked.has('thng') && storedKey)
  let run

  if (asked.has('key')) storeKey(asked.get('key'))
  else if (storedKey) asked.set('key', storedKey)
  for (const name of ['key', 'thng', 'property']) {
    if (asked.has(name)) startForm.elements[name].value = asked.get(name)
  }
  showInAddress()

  function storeKey(key) {
    if (isOwnServer) sessionStorage.setItem(KEY_NAME, key)
  }

  /** Puts what was asked for into the address, without the key. */
  function showInAddress() {
    const shown = new URLSearchParams(asked)
    shown.delete('key')
    history.replaceState(null, '', `${location.pathname}${shown.size ? `#${shown}` : ''}`)
  }

  /** @param {'idle' | 'busy' | 'connected' | 'error'} state */
  function showStatus(state, text) {
    status.dataset.state = state
    status.textContent = text
  }

  /** @param {'idle' | 'starting' | 'running'} phase */
  function setPhase(phase) {
    for (const control of publishForm.elements) control.disabled = phase !== 'running'
    for (const input of startForm.querySelectorAll('input')) input.readOnly = phase !== 'idle'
    startButton.disabled = phase === 'starting'
    startButton.hidden = phase === 'running'
    stopButton.hidden = phase !== 'running'
  }

  const timeOfDay = () => new Date().toLocaleTimeString([], { hour12: false })

  /** @param {'sent' | 'received' | 'refused'} direction */
  function addRow(direction, text, note) {
    const row = document.createElement('li')
    const time = document.createElement('time')
    time.textContent = timeOfDay()
    const cells = [direction, text, note].map((text) => {
      const cell = document.createElement('span')
      cell.textContent = text
      return cell
    })
    row.dataset.direction = direction
    row.append(time, ...cells)
    log.prepend(row)
    while (log.children.length > LOG_ROWS_MAX) log.lastElementChild.remove()
    find('empty').hidden = true
  }

  function showSent(updates, how = 'by update()') {
    for (const update of updates) addRow('sent', JSON.stringify(update.value), how)
  }

  /** Shows sent text that is not a list of updates. */
  function showSentText(text, how) {
    addRow('sent', text, how)
  }

  function showReceived(updates) {
    if (run) showStatus('connected', 'Connected')
    for (const update of updates) {
      // The values of the SDK's page are the times at which they were sent.
      const sent = typeof update.value === 'number' && Math.abs(Date.now() - update.value) < 60_000
      const note = sent ? `after ${Date.now() - update.value} ms` : ''
      addRow('received', JSON.stringify(update.value), note)
      find('value').textContent = JSON.stringify(update.value)
      find('timing').textContent = `Received ${timeOfDay()}${note && `, ${note}`}`
    }
  }

  /** What the server would not take, while the connection stays. */
  function showRefused(text, note = '') {
    addRow('refused', text, note)
  }

  function showError(error) {
    console.error(error)
    showStatus('error', messageOf(error))
  }

  /** Shows that a connection has ended unexpectedly; the example can be started again. */
  function showEnd(text) {
    run = undefined
    setPhase('idle')
    showStatus('error', text)
  }

  /** The words of an error; evrythng.js puts what the server says into the message as JSON. */
  function messageOf(error) {
    try {
      return JSON.parse(error.message).errors.join(' ')
    } catch {
      return error.message
    }
  }

  function onStart(start) {
    startForm.addEventListener('submit', async (event) => {
      event.preventDefault()
      const { key, thng, property } = startForm.elements
      showStatus('busy', 'Connecting…')
      setPhase('starting')
      try {
        run = await start({
          operatorKey: key.value.trim(),
          thngId: thng.value.trim(),
          propertyKey: property.value.trim(),
          intervalMs
        })
        thng.value = run.thngId
        asked.set('thng', run.thngId)
        storeKey(key.value.trim())
        showInAddress()
        setPhase('running')
        showStatus('connected', 'Connected')
      } catch (error) {
        setPhase('idle')
        showError(error)
      }
    })
    if (startsAlone && !startButton.disabled) startForm.requestSubmit()
  }

  stopButton.addEventListener('click', async () => {
    const stopped = run
    run = undefined
    setPhase('idle')
    showStatus('idle', 'Stopped')
    await Promise.resolve(stopped.stop()).catch(showError)
  })

  publishForm.addEventListener('submit', async (event) => {
    event.preventDefault()
    const value = readValue(publishForm.elements.value.value)
    try {
      await run.publish(value)
      showSent([{ value }], 'by publish()')
      publishForm.reset()
    } catch (error) {
      showError(error)
    }
  })

  /** A number, a truth value or any other JSON, and otherwise the text itself. */
  function readValue(text) {
    try {
      return JSON.parse(text)
    } catch {
      return text
    }
  }

  /** A request to the REST API. What the server says of a refusal becomes the error's message. */
  async function rest(operatorKey, method, path, body) {
    const response = await fetch(server + path, {
      method,
      headers: { authorization: operatorKey, 'content-type': 'application/json' },
      body: body && JSON.stringify(body)
    })
    const document = await response.json()
    if (!response.ok) throw new Error(document.errors.join(' '))
    return document
  }

  /**
   * Why the server has refused a connection or a subscription: neither a browser nor MQTT tells. REST refuses for the
   * same reason, and says it.
   */
  async function askWhy(operatorKey, path) {
    try {
      await rest(operatorKey, 'GET', path)
    } catch (error) {
      return error
    }
    return new Error('There is no connection to the server.')
  }

  /** A script that only the build brings is not there. Its error reaches no listener but one that captures. */
  function showMissing({ target: { dataset } }) {
    if (!dataset?.library) return
    showStatus('error', `${dataset.library} is missing. It comes with the build: run \`cargo xtask run\` again.`)
    startButton.disabled = true
  }

  addEventListener('error', showMissing, true)

  // The source code of the page.
  for (const pre of document.querySelectorAll('pre[data-file]')) {
    pre.closest('details').addEventListener(
      'toggle',
      async () => {
        const response = await fetch(pre.dataset.file)
        pre.textContent = await response.text()
      },
      { once: true }
    )
  }

  return {
    server,
    onStart,
    isRunning: () => run !== undefined,
    rest,
    askWhy,
    showStatus,
    showSent,
    showSentText,
    showReceived,
    showRefused,
    showError,
    showEnd
  }
})()
