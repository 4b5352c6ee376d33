import { parameters, show } from './round-trip.js'

const worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module' })
worker.postMessage(parameters())
show(
  new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => resolve(data)
    worker.onerror = ({ message }) => reject(new Error(message))
  })
)
