import { checkLimit } from './settings.js'

/**
 * The pages of a list, one after the other, as long as the server links to another.
 *
 * @param {(query?: string) => Promise<{document: unknown[], headers: Headers}>} read - Reads a page; the first without a
 *   query.
 */
export async function* pagesOf(read) {
  let query
  do {
    const { document, headers } = await read(query)
    const total = totalOf(headers)
    yield total === undefined ? document : Object.defineProperty(document, 'total', { value: total })
    query = nextQuery(headers.get('link'))
  } while (query)
}

/**
 * The items of all pages, up to `limit`.
 *
 * @throws {PubSubError} BAD_SETTING
 */
export async function allOf(pages, limit = Infinity) {
  if (limit !== Infinity) checkLimit(limit)
  const all = []
  for await (const page of pages) {
    all.push(...page)
    if (all.length >= limit) break
  }
  return all.length > limit ? all.slice(0, limit) : all
}

/** How many items the list has, where the server was asked for it. */
export function totalOf(headers) {
  const count = headers.get('x-result-count')
  return count === null ? undefined : Number(count)
}

/** The query of the next page. The rest of its address is not used: the key goes to no other server. */
function nextQuery(link) {
  const [, address] = /<([^>]*)>\s*;\s*rel="?next"?/.exec(link ?? '') ?? []
  return address && new URL(decodeURIComponent(address)).search
}
