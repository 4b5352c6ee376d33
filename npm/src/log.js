/**
 * Writes the debug log of a connection: addresses, topics, sizes and codes, and neither keys nor payloads.
 *
 * @param {boolean | ((line: string) => void) | undefined} debug - The setting.
 * @param {string} url
 */
export function createLog(debug, url) {
  if (!debug) return () => {}
  const write = typeof debug === 'function' ? debug : (line) => console.debug(line)
  return (...words) => {
    try {
      write(`thng-pubsub ${url}: ${words.filter((word) => word !== undefined && word !== '').join(' ')}`)
    } catch (error) {
      console.error(error)
    }
  }
}
