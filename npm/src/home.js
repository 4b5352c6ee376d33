/**
 * Where the server is when no setting names it: where the script was loaded from, if a server of ours serves it, else
 * where the page came from.
 */

/** The address of a file of the SDK on a server, with or without its version. */
const SERVED = /^(https?:.+)\/sdk\/(?:[^/]+\/)?thng-pubsub[.\w]*(?:[?#]|$)/

let home = ''

/** Called once, by the entries that know the address that they were loaded from. */
export function loadedFrom(address) {
  home = SERVED.exec(address)?.[1] ?? ''
}

/** Its address without a slash at the end; empty where it is not known. */
export function findHome() {
  const origin = globalThis.location?.origin
  return home || (origin?.startsWith('http') ? origin : '')
}
