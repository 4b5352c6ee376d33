/**
 * A web server for the pages of the tests. It knows the few types of files that these have.
 */
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { extname, join } from 'node:path'
import { after } from 'node:test'

const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.mjs': 'text/javascript', '.wasm': 'application/wasm' }

/**
 * Serves files until the tests of the file have ended, at whose top level this is to be called.
 *
 * @param {(path: string) => string | undefined} fileOf - Which file a path is; `/` is asked for as `/index.html`.
 * @param {(path: string) => object} [headersOf] - What else goes with the answer to a path.
 * @returns {Promise<string>} its address, without a slash at the end
 */
export async function serve(fileOf, headersOf = () => ({})) {
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, 'http://site')
    const path = pathname.endsWith('/') ? `${pathname}index.html` : pathname
    const bytes = await readFile(fileOf(path) ?? '').catch(() => undefined)
    // Types without a charset: a script has to survive that.
    const headers = { 'content-type': TYPES[extname(path)] ?? 'application/octet-stream', ...headersOf(path) }
    response.writeHead(bytes ? 200 : 404, headers).end(bytes)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  after(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${server.address().port}`
}

/** Serves what is in a folder. */
export const serveFolder = (folder) => serve((path) => join(folder, path))
