/**
 * A live dashboard of one thng.
 *
 * The form can be filled from the address, behind `#`: `key`, `thng` and `transport`. With a key the app starts by itself.
 * The key leaves the address at once, and stays in this tab until it is closed; the thng takes its place there, so that a
 * reload goes on with both.
 */
import '../../style.css'
import 'uplot/dist/uPlot.min.css'
import './style.css'

import PubSub, { PubSubError, type ConnectionEvent, type PropertyValue, type Transport } from 'thng-pubsub'

import { ActionList, timeOf } from './actions.ts'
import { Chart } from './chart.ts'
import { type LiveThng, openThng } from './live.ts'
import { describe, WorldMap, type Place } from './map.ts'

/** How often the simulated sensor measures. */
const SENSOR_PERIOD_MS = 1000

/** How many of the values of before are drawn. */
const HISTORY_MAX = 100

type State = 'idle' | 'busy' | 'connected' | 'error'
type Phase = 'idle' | 'starting' | 'running'

/** The element of an id; the page is part of this app. */
const find = <Kind extends HTMLElement>(id: string): Kind => document.getElementById(id) as Kind
const field = <Kind extends HTMLElement = HTMLInputElement>(form: HTMLFormElement, name: string): Kind =>
  form.elements.namedItem(name) as unknown as Kind

const startForm = find<HTMLFormElement>('start')
const publishForm = find<HTMLFormElement>('publish')
const actForm = find<HTMLFormElement>('act')
const stopButton = find<HTMLButtonElement>('stop')
const locateButton = find<HTMLButtonElement>('locate')
const simulate = field(publishForm, 'simulate')
const [keyField, thngField] = [field(startForm, 'key'), field(startForm, 'thng')]
const transportField = startForm.elements.namedItem('transport') as RadioNodeList

const chart = new Chart(find('chart'))
const map = new WorldMap(find('map'), publishPlace)
const actions = new ActionList(find('actions'), find('no-actions'))

/** Where this tab has the key of the examples. */
const KEY_NAME = 'examples-api-key'
const asked = new URLSearchParams(location.hash.slice(1))

let thng: LiveThng | undefined
/** The thng whose values are drawn, also when it has been stopped. */
let shown: string | undefined
let sensor: number | undefined
/** The connections that are being made again: each topic has its own, unless MQTT carries all of them. */
const lost = new Set<string>()
/** What was asked for last; the next waits for it. */
let turn = Promise.resolve()

function showStatus(state: State, text: string): void {
  const status = find('status')
  status.dataset.state = state
  status.textContent = text
}

function showError(error: unknown): void {
  // What was still under way when it was stopped.
  if (error instanceof PubSubError && error.code === 'CLOSED') return
  console.error(error)
  showStatus('error', messageOf(error))
}

/** The words of an error; of a request that was refused, only what the server says. */
function messageOf(error: unknown): string {
  if (error instanceof PubSubError && error.errors) return error.errors.join(' ')
  return error instanceof Error ? error.message : String(error)
}

function setPhase(phase: Phase): void {
  const controls = [...publishForm.elements, ...actForm.elements, locateButton]
  for (const control of controls as HTMLButtonElement[]) control.disabled = phase !== 'running'
  for (const input of [keyField, thngField]) input.readOnly = phase !== 'idle'
  const startButton = startForm.querySelector<HTMLButtonElement>('[type=submit]')!
  startButton.disabled = phase === 'starting'
  startButton.hidden = phase === 'running'
  stopButton.hidden = phase !== 'running'
  find('key-hint').hidden = phase === 'running'
}

/** Keeps the key in this tab, and shows what else was asked for in the address. */
function keepKey(key: string): void {
  sessionStorage.setItem(KEY_NAME, key)
  const shown = new URLSearchParams(asked)
  shown.delete('key')
  history.replaceState(null, '', `${location.pathname}${location.search}${shown.size > 0 ? `#${shown}` : ''}`)
}

const transport = (): Transport => transportField.value as Transport

/** Starts with what the form says. A new thng is measured; an existing one only on request. */
async function start(isSensor = false): Promise<void> {
  if (thng) return
  showStatus('busy', 'Connecting…')
  setPhase('starting')
  try {
    await open(keyField.value.trim(), thngField.value.trim(), isSensor)
  } catch (error) {
    setPhase('idle')
    showError(error)
  }
}

async function open(key: string, id: string, isSensor: boolean): Promise<void> {
  const isNew = id === ''
  if (isNew || id !== shown) for (const view of [chart, map, actions]) view.clear()
  lost.clear()
  const opened = await openThng(key, isNew ? undefined : id, transport())
  // Subscribed to first, so that nothing is missed between what was and what comes.
  await opened.temperature.subscribe((updates) => showTemperatures(updates))
  await opened.location.subscribe((updates) => updates.forEach(showPlace), { pubStates: true })
  await opened.actions.subscribe((action) => actions.add(action), { pubStates: true })
  const history = await opened.temperature.read({ params: { perPage: HISTORY_MAX } })
  if (history.length > 0) showTemperatures(history)
  thng = opened
  shown = opened.id
  thngField.value = opened.id
  asked.set('thng', opened.id)
  keepKey(key)
  setPhase('running')
  showStatus('connected', 'Connected')
  if (isNew || isSensor) simulate.click()
}

async function stop(): Promise<void> {
  thng = undefined
  if (simulate.checked) simulate.click()
  setPhase('idle')
  showStatus('idle', 'Stopped')
  await PubSub.close()
}

/** Goes on over the transport that was chosen. */
async function changeTransport(): Promise<void> {
  if (!thng || thng.transport === transport()) return
  const isSensor = simulate.checked
  await stop()
  await start(isSensor)
}

function inTurn(act: () => Promise<void>): void {
  turn = turn.then(act).catch(showError)
}

/** Shows values of the temperature, in whatever order. */
function showTemperatures(updates: PropertyValue[]): void {
  chart.add(updates)
  const latest = updates.reduce((a, b) => (b.timestamp > a.timestamp ? b : a))
  find('value').textContent = typeof latest.value === 'number' ? `${latest.value} °C` : JSON.stringify(latest.value)
  find('timing').textContent = `Measured ${timeOf(latest.timestamp)}`
}

function showPlace(place: Place): void {
  map.add(place)
  find('place').textContent = describe(place)
}

function publishPlace({ latitude, longitude }: Place): void {
  thng?.location.publish({ latitude, longitude }, { qos: thng.qos }).catch(showError)
}

/** The next value of an indoor sensor: it wanders around 21 °C. */
function measure(last: number): number {
  const next = last + (21 - last) * 0.05 + (Math.random() - 0.5)
  return Math.round(next * 10) / 10
}

startForm.addEventListener('submit', (event) => {
  event.preventDefault()
  inTurn(start)
})
stopButton.addEventListener('click', () => inTurn(stop))
for (const radio of transportField) radio.addEventListener('change', () => inTurn(changeTransport))

publishForm.addEventListener('submit', async (event) => {
  event.preventDefault()
  const value = field(publishForm, 'value')
  try {
    await thng?.temperature.publish(value.valueAsNumber, { qos: thng.qos })
    value.value = ''
  } catch (error) {
    showError(error)
  }
})

simulate.addEventListener('change', () => {
  clearInterval(sensor)
  if (!simulate.checked) return
  let value = 21
  const tick = (): void => {
    value = measure(value)
    thng?.temperature.publish(value).catch(showError)
  }
  tick()
  sensor = setInterval(tick, SENSOR_PERIOD_MS)
})

actForm.addEventListener('submit', async (event) => {
  event.preventDefault()
  const type = field<HTMLSelectElement>(actForm, 'type').value
  try {
    await thng?.actions.publish({ type, customFields: { by: 'dashboard' } }, { qos: thng.qos })
  } catch (error) {
    showError(error)
  }
})

// Browsers give their location to pages over https, or from the machine itself, and only if they are allowed to.
locateButton.hidden = !('geolocation' in navigator && isSecureContext)
locateButton.addEventListener('click', () => {
  const hint = find('place-hint')
  navigator.geolocation.getCurrentPosition(
    ({ coords }) => publishPlace(coords),
    (error) => (hint.textContent = `The browser gives no location (${error.message}). Click on the map instead.`)
  )
})

const nameOf = ({ topic, url }: ConnectionEvent): string => topic ?? url

PubSub.on('connected', (event) => {
  lost.delete(nameOf(event))
  if (thng && lost.size === 0) showStatus('connected', 'Connected')
})
PubSub.on('disconnected', (event) => {
  // Before it runs, and after it was stopped, there are others who say so.
  if (!thng) return
  if (event.retryInMs === undefined) return showError(event.error)
  lost.add(nameOf(event))
  showStatus('busy', 'Connection lost, trying again…')
})
PubSub.on('error', ({ error }) => showError(error))

keyField.value = asked.get('key') ?? sessionStorage.getItem(KEY_NAME) ?? ''
thngField.value = asked.get('thng') ?? ''
if (asked.has('transport')) transportField.value = asked.get('transport')!
// By itself only as it was asked: with a key in the address, or at a reload, which has the thng there.
const startsAlone = asked.has('key') || (asked.has('thng') && keyField.value !== '')
if (asked.has('key')) keepKey(keyField.value)
if (startsAlone) startForm.requestSubmit()
