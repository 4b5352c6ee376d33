/**
 * The pages of `examples-web/` in a browser, as the server serves them. It starts the browser, and closes the page after
 * each test of the file that imports it.
 */
import assert from 'node:assert/strict'
import { afterEach, before } from 'node:test'

import { launch } from './chromium.mjs'
import { lineTo } from './line.mjs'
import { assertServesSdk, url } from './server.mjs'

export const WRONG_KEY = 'Z'.repeat(80)

/** The pages by what they are called in the address; the list of them is `''`. */
export const PAGES = ['', 'sdk/', 'websocket/', 'paho/', 'app/']

export const browser = await launch()
export const line = await lineTo(url)

export const address = (page, parameters, origin = url) => `${origin}/examples/${page}#${new URLSearchParams(parameters)}`

/** The page that the test has opened. */
export let page
/** What the page has written to its console as an error, and what it has thrown. */
export let complaints
/** The WebSockets that the page has opened. */
export let sockets

before(assertServesSdk)
afterEach(() => {
  line.mend()
  return page?.close()
})

/** Opens an example, in the browser's only tab of this test. */
export async function open(name, parameters = {}, origin = url) {
  complaints = []
  sockets = []
  page = await browser.newPage()
  page.on('websocket', (socket) => sockets.push(socket))
  page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()))
  page.on('pageerror', (error) => complaints.push(String(error)))
  const response = await page.goto(address(name, parameters, origin))
  assert.equal(response.status(), 200)
}

export const status = (state) => page.locator(`#status[data-state=${state}]`)
export const button = (name) => page.getByRole('button', { name, exact: true })
export const row = (direction, text) =>
  page.locator(`#log [data-direction=${direction}] span:nth-of-type(2)`).getByText(text, { exact: true })
