/**
 * Opens a page of a document in a browser as the document says.
 *
 * Something has to appear in its outputs, its buttons have to change them, and nothing may fail.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

/**
 * @param {import('playwright-core').BrowserContext} browser
 * @param {object} about
 * @param {string} about.html - The page, with the values of this run.
 * @param {string} about.url - The server: where a page is from that asks for something without saying where.
 * @param {string} about.folder - Where the other pages are saved.
 */
export async function open(browser, { html, url, folder }) {
  const page = await browser.newPage()
  const complaints = []
  page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()))
  page.on('pageerror', (error) => complaints.push(String(error)))
  const outputs = page.locator('output')
  const change = async (before, what) => {
    const isNew = (before) => [...document.querySelectorAll('output')].some((one, at) => one.textContent !== before[at])
    await page.waitForFunction(isNew, before, { timeout: 10_000 }).catch(() => {
      throw new Error([what, ...complaints].join('\n'))
    })
  }
  try {
    await page.goto(await addressOf(page, html, url, folder))
    const written = [...html.matchAll(/<output\b[^>]*>([^<]*)<\/output>/g)].map(([, text]) => text)
    if (written.length) await change(written, 'nothing has come into its output')
    for (const button of await page.locator('button').all()) {
      const before = await outputs.allTextContents()
      await button.click()
      await change(before, `the button "${await button.textContent()}" changes nothing`)
    }
    if (complaints.length) throw new Error(complaints.join('\n'))
  } finally {
    await page.close()
  }
}

/** Where the page is: a file, or at the server if it loads something from there without saying so. */
async function addressOf(page, html, url, folder) {
  if (/\b(?:src|href)="\//.test(html)) {
    const address = `${url}/a-page-of-the-documents`
    await page.route(address, (route) => route.fulfill({ contentType: 'text/html; charset=utf-8', body: html }))
    return address
  }
  const file = join(folder, 'page.html')
  await writeFile(file, html)
  return pathToFileURL(file).href
}
