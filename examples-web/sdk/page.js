/* global PubSub */

/**
 * What the example shows and asks for: the form, the log, the state of the connection. Nothing here is about Pub/Sub;
 * that is `script.js`.
 *
 * The form can be filled from the address, behind `?` or `#`: `key`, `thng`, `property`, `interval` (milliseconds) and
 * `server` (where this page was loaded from, if it is not said). With a key the example starts by itself.
 */
const page = (() => {
  const LOG_ROWS_MAX = 200
  const find = (id) => document.getElementById(id)
  const [startForm, publishForm, stopButton, status, log] = ['start', 'publish', 'stop', 'status', 'log'].map(find)
  const startButton = startForm.querySelector('[type=submit]')
  const asked = new URLSearchParams(`${location.search.slice(1)}&${location.hash.slice(1)}`)
  const server = asked.get('server') ?? location.origin
  const intervalMs = Number(asked.get('interval') ?? 2000)
  let run

  for (const name of ['key', 'thng', 'property']) {
    if (asked.has(name)) startForm.elements[name].value = asked.get(name)
  }

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

  function addRow(direction, update, note) {
    const row = document.createElement('li')
    const time = document.createElement('time')
    time.textContent = new Date().toLocaleTimeString([], { hour12: false })
    const cells = [direction, JSON.stringify(update.value), note].map((text) => {
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

  function showSent(updates) {
    for (const update of updates) addRow('sent', update, 'by update()')
  }

  function showReceived(updates) {
    if (run) showStatus('connected', 'Connected')
    for (const update of updates) {
      // The values of this page are the times at which they were sent.
      const sent = typeof update.value === 'number' && Math.abs(Date.now() - update.value) < 60_000
      const note = sent ? `after ${Date.now() - update.value} ms` : ''
      addRow('received', update, note)
      find('value').textContent = JSON.stringify(update.value)
      find('timing').textContent = `Received ${new Date().toLocaleTimeString([], { hour12: false })}${note && `, ${note}`}`
    }
  }

  function showError(error) {
    console.error(error)
    showStatus('error', messageOf(error))
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
        setPhase('running')
        showStatus('connected', 'Connected')
      } catch (error) {
        setPhase('idle')
        showError(error)
      }
    })
    if (asked.has('key')) startForm.requestSubmit()
  }

  stopButton.addEventListener('click', async () => {
    const stopped = run
    run = undefined
    setPhase('idle')
    showStatus('idle', 'Stopped')
    await stopped.stop().catch(showError)
  })

  publishForm.addEventListener('submit', async (event) => {
    event.preventDefault()
    const { value } = publishForm.elements
    try {
      await run.publish(readValue(value.value))
      addRow('sent', { value: readValue(value.value) }, 'by publish()')
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

  PubSub.on('connected', () => run && showStatus('connected', 'Connected'))
  PubSub.on('disconnected', ({ error, retryInMs }) => {
    if (retryInMs === undefined) showStatus('error', error.message)
    else showStatus('busy', 'Connection lost, trying again…')
  })
  PubSub.on('error', ({ error }) => showError(error))

  return { server, onStart, showSent, showReceived, showError }
})()
