/** What a browser knows of the network and of the page. Node.js knows nothing of either. */

const TYPES = ['online', 'offline', 'visibilitychange']

/** A server on this machine is there without a network. */
const LOCAL = /^\w+:\/\/(localhost|127\.[\d.]+|\[::1\])(?=[:/]|$)/

/**
 * Watches for the moments at which a connection is to be checked.
 *
 * @param {string} url - Where the connection leads.
 * @param {() => void} onWake - The network is back, or the page is visible again.
 * @param {() => void} onOffline - There is no network; called at once if that is so from the start.
 * @returns {() => void} ends it
 */
export function watchNetwork(url, onWake, onOffline) {
  const { addEventListener, removeEventListener } = globalThis
  if (!addEventListener) return () => {}
  // Chromium's workers have the property and not the event that ends it.
  const isOffline = () => 'ononline' in globalThis && globalThis.navigator?.onLine === false && !LOCAL.test(url)
  function check({ type }) {
    if (isOffline()) onOffline()
    else if (type === 'online' || !globalThis.document?.hidden) onWake()
  }
  if (isOffline()) onOffline()
  // `visibilitychange` is the document's event and bubbles up to the window.
  for (const type of TYPES) addEventListener.call(globalThis, type, check)
  return () => TYPES.forEach((type) => removeEventListener.call(globalThis, type, check))
}
