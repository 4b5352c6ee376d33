/**
 * What every page of the examples has in common: it fits its screen, can be read, and loads nothing from elsewhere.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { resizeToFit } from './chromium.mjs'
import { PAGES, address, complaints, open, page } from './examples-page.mjs'
import { key, url } from './server.mjs'

const PHONE = { width: 390, height: 844 }
const DESKTOP = { width: 1280, height: 800 }

for (const name of PAGES) {
  const isReady = () => name === '' || page.locator('#value').getByText(/\d/).waitFor()

  test(`/examples/${name} fits a phone and a desktop`, async () => {
    await open(name, { key })
    await isReady()
    for (const size of [PHONE, DESKTOP]) {
      await resizeToFit(page, size)
      assert.deepEqual(await page.evaluate(cutOff), [], `cut off on a screen of ${size.width}`)
    }
    assert.deepEqual(complaints, [])
  })

  test(`/examples/${name} can be read, in light and in dark`, async () => {
    await open(name, { key })
    await isReady()
    const grounds = new Set()
    for (const colorScheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme })
      grounds.add(await page.evaluate(() => getComputedStyle(document.body).backgroundColor))
      assert.deepEqual(await page.evaluate(hardToRead), [], colorScheme)
    }
    assert.equal(grounds.size, 2)
  })

  test(`/examples/${name} names every control`, async () => {
    await open(name)
    const nameless = await page.locator('input, select, button, a, [tabindex]').evaluateAll((controls) =>
      controls
        .filter((it) => !it.labels?.length && !it.ariaLabel && !it.hasAttribute('aria-labelledby') && !it.textContent.trim())
        .map((it) => it.outerHTML)
    )
    assert.deepEqual(nameless, [])
  })

  test(`/examples/${name} loads nothing from elsewhere`, async () => {
    const hosts = new Set()
    await open(name)
    page.on('request', (request) => hosts.add(new URL(request.url()).host))
    page.on('websocket', (socket) => hosts.add(new URL(socket.url()).host))
    await page.goto('about:blank')
    await page.goto(address(name, { key }))
    await isReady()
    hosts.delete('')
    assert.deepEqual([...hosts], [new URL(url).host])
  })
}

/** In a page: what has text that does not fit into it, unless it scrolls. */
function cutOff() {
  const all = [...document.querySelectorAll('main *:not(svg *, .uplot, .uplot *)')].filter((it) => it.checkVisibility())
  const scrolls = (it) => ['auto', 'scroll'].includes(getComputedStyle(it).overflowX) || it.matches('input, select')
  const isCutOff = (it) => it.clientWidth > 0 && it.scrollWidth > it.clientWidth + 1 && !scrolls(it)
  return all.filter(isCutOff).map((it) => it.outerHTML)
}

/** In a page: texts whose contrast with their ground is below 4.5, which is what WCAG asks for (1.4.3, level AA). */
function hardToRead() {
  const context = document.createElement('canvas').getContext('2d', { willReadFrequently: true })
  const luminance = (colour) => {
    context.clearRect(0, 0, 1, 1)
    context.fillStyle = colour
    context.fillRect(0, 0, 1, 1)
    const [r, g, b] = [...context.getImageData(0, 0, 1, 1).data].map((it) => {
      const share = it / 255
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4
    })
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const groundOf = (it) => {
    const { backgroundColor } = getComputedStyle(it)
    return backgroundColor === 'rgba(0, 0, 0, 0)' ? groundOf(it.parentElement) : backgroundColor
  }
  const hasText = (it) => [...it.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim())
  return [...document.querySelectorAll('body *')]
    .filter((it) => it.checkVisibility() && !it.closest('svg') && (hasText(it) || it.matches('input')))
    .map((it) => {
      const both = [luminance(getComputedStyle(it).color), luminance(groundOf(it))]
      return { contrast: (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05), html: it.outerHTML.slice(0, 200) }
    })
    .filter(({ contrast }) => contrast < 4.5)
}
