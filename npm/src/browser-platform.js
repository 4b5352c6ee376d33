import { withKey } from './url.js'

/** A browser or a worker, with its own WebSocket. */
export const platform = {
  hasTcp: false,
  openSocket(url, protocols, settings) {
    const Socket = settings.WebSocket ?? globalThis.WebSocket
    return new Socket(url, protocols)
  },

  /** A browser sends no headers of ours, so the key is in the address. */
  openTopic(url, key, settings) {
    const Socket = settings.WebSocket ?? globalThis.WebSocket
    return new Socket(withKey(url, key))
  },

  canPing: ({ WebSocket }) => typeof WebSocket?.prototype?.ping === 'function'
}
