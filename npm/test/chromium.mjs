/**
 * The browser of the tests: Debian's Chromium, or the one that the environment names, with a profile of its own.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after } from 'node:test'

import { chromium } from 'playwright-core'

const executablePath = process.env.CHROMIUM ?? process.env.THNG_PUBSUB_CHROMIUM ?? '/usr/bin/chromium'

const ARGUMENTS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync'
]

/**
 * Starts a browser, and ends it after the tests of the file, at whose top level this is to be called.
 *
 * @param {...string} more - Further arguments of its command line.
 */
export async function launch(...more) {
  const profile = await makeProfile()
  const settings = { executablePath, headless: true, args: [...ARGUMENTS, ...more] }
  const browser = await chromium.launchPersistentContext(profile, settings)
  browser.setDefaultTimeout(20_000)
  after(async () => {
    await browser.close()
    await rm(profile, { recursive: true, force: true })
  })
  return browser
}

/**
 * The same, with tabs as people have them: one is in front, and the others are hidden, with their timers held back, and
 * can be frozen. A browser that Playwright starts has every page believe that it is in front.
 */
export async function launchWithTabs() {
  const profile = await makeProfile()
  const own = ['--remote-debugging-port=0', `--user-data-dir=${profile}`, 'about:blank']
  const program = spawn(executablePath, [...ARGUMENTS, ...own], { stdio: ['ignore', 'ignore', 'pipe'] })
  const exited = once(program, 'exit')
  // The test runner ends a file that takes too long by SIGTERM, which would leave the browser behind.
  process.once('SIGTERM', () => process.exit(1))
  process.once('exit', () => program.kill('SIGKILL'))
  const connection = await chromium.connectOverCDP(await devToolsOf(program), { noDefaults: true })
  const [browser] = connection.contexts()
  browser.setDefaultTimeout(20_000)
  after(async () => {
    const session = await connection.newBrowserCDPSession()
    // It may be gone before it has answered.
    await session.send('Browser.close').catch(() => {})
    await exited
    await rm(profile, { recursive: true, force: true })
  })
  return browser
}

/**
 * Gives a page another size and waits until it fits: a page that observes its size draws again in a later frame.
 * A page that does not fit after 5 s fails the test.
 */
export async function resizeToFit(page, { width, height }) {
  await page.setViewportSize({ width, height })
  const fits = (width) => window.innerWidth === width && document.documentElement.scrollWidth <= width
  await page.waitForFunction(fits, width, { timeout: 5_000 }).catch(async () => {
    const wide = await page.evaluate(() => document.documentElement.scrollWidth)
    assert.fail(`the page is ${wide} pixels wide on a screen of ${width}`)
  })
}

function makeProfile() {
  if (!existsSync(executablePath)) {
    throw new Error(`There is no browser at ${executablePath}. Install Debian's chromium, or say with CHROMIUM where one is.`)
  }
  return mkdtemp(join(tmpdir(), 'thng-pubsub-chromium-'))
}

/** The address at which a browser listens for DevTools, from its output. */
function devToolsOf(program) {
  return new Promise((resolve, reject) => {
    let written = ''
    createInterface(program.stderr).on('line', (line) => {
      written += `${line}\n`
      const [, address] = /^DevTools listening on (ws:\S+)/.exec(line) ?? []
      if (address) resolve(address)
    })
    program.on('error', reject)
    program.on('exit', () => reject(new Error(`the browser ended before it could be led: ${written}`)))
  })
}
