import { parameters, show } from './round-trip.js'

const worker = new Worker('./classic-worker.js')
worker.postMessage(parameters())
show(
  new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => resolve(data)
    worker.onerror = ({ message }) => reject(new Error(message))
  })
)
