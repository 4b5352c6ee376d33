/**
 * The browser of the tests: Debian's Chromium, or the one that the environment names, with a profile of its own.
 */
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
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

/** Starts a browser, and ends it after the tests of the file, at whose top level this is to be called. */
export async function launch() {
  if (!existsSync(executablePath)) {
    throw new Error(`There is no browser at ${executablePath}. Install Debian's chromium, or say with CHROMIUM where one is.`)
  }
  const profile = await mkdtemp(join(tmpdir(), 'thng-pubsub-chromium-'))
  const browser = await chromium.launchPersistentContext(profile, { executablePath, headless: true, args: ARGUMENTS })
  browser.setDefaultTimeout(20_000)
  after(async () => {
    await browser.close()
    await rm(profile, { recursive: true, force: true })
  })
  return browser
}
