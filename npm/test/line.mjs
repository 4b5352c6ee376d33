/**
 * A line to the server that can be cut, silenced and held up, which a server cannot do to itself.
 */
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { after } from 'node:test'

/**
 * Passes everything on, both ways, until the tests of the file have ended, at whose top level this is to be called.
 *
 * @param {string} address - The http address of the server.
 */
export async function lineTo(address) {
  const { hostname, port } = new URL(address)
  const pairs = new Set()
  let isCut = false
  /** What the server has sent since it is kept back, and whom it is for. */
  let kept
  let onKept

  const server = createServer((near) => {
    if (isCut) return near.destroy()
    const far = connect(port, hostname)
    const pair = { near, far, isSilent: false }
    pairs.add(pair)
    near.pipe(far)
    far.on('data', (bytes) => {
      if (!kept) return near.write(bytes)
      kept.push({ near, bytes })
      onKept()
    })
    for (const socket of [near, far]) {
      socket.on('error', () => {})
      socket.on('close', () => {
        if (socket === far && pair.isSilent) return
        pairs.delete(pair)
        near.destroy()
        far.destroy()
      })
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')

  function drop() {
    for (const { near, far } of pairs) {
      near.destroy()
      far.destroy()
    }
  }
  after(() => {
    server.close()
    drop()
  })

  return {
    address: `http://127.0.0.1:${server.address().port}`,

    /** Ends what is connected, and refuses what comes. */
    cut() {
      isCut = true
      drop()
    },

    mend() {
      isCut = false
    },

    /**
     * Ends connections for the server alone: connected clients get no notice, and wait for what never comes. New
     * connections get through.
     */
    silence() {
      for (const pair of pairs) {
        pair.isSilent = true
        pair.near.unpipe(pair.far)
        // Unread bytes would hide the end of the connection.
        pair.near.resume()
        pair.far.destroy()
      }
    },

    /** Keeps back what the server sends, and resolves when `text` is in it; it may be a buffer, too. */
    keepUntil(text) {
      kept = []
      return new Promise((resolve) => {
        // It may have come in two parts.
        onKept = () => Buffer.concat(kept.slice(-2).map(({ bytes }) => bytes)).includes(text) && resolve()
      })
    },

    /** Sends on at once what was kept back, and keeps no more. */
    release() {
      const all = kept
      kept = undefined
      for (const { near, bytes } of all) near.write(bytes)
    }
  }
}
