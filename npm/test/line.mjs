/**
 * A line to the server that can be cut and held up, which a server cannot do to itself.
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
  const sockets = new Set()
  let isCut = false
  /** What the server has sent since it is kept back, and whom it is for. */
  let kept
  let onKept

  const server = createServer((near) => {
    if (isCut) return near.destroy()
    const far = connect(port, hostname)
    near.pipe(far)
    far.on('data', (bytes) => {
      if (!kept) return near.write(bytes)
      kept.push({ near, bytes })
      onKept()
    })
    for (const [socket, other] of [[near, far], [far, near]]) {
      sockets.add(socket)
      socket.on('error', () => other.destroy())
      socket.on('close', () => sockets.delete(socket) && other.destroy())
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')

  function drop() {
    for (const socket of sockets) socket.destroy()
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

    /** Keeps back what the server sends, and resolves when `text` is in it. */
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
