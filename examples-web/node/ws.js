/**
 * A native WebSocket, with npm's `ws`: what comes out are the updates of a property, what goes in is published. Ends after
 * some updates. ./settings.js says what is taken from the environment.
 */
import WebSocket from 'ws'

import { fail, http, key, measure, messages, thng } from './settings.js'

const url = `ws://${http}/thngs/${thng}/properties/temperature`
const socket = new WebSocket(url, { headers: { authorization: key } })
let received = 0

// The same payload as in REST.
const publish = () => socket.send(JSON.stringify([{ value: measure() }]))

socket.on('open', () => {
  console.log('Connected!')
  publish()
})

socket.on('message', (data) => {
  const update = JSON.parse(data)
  // A refusal has `errors`; an update is an array.
  if (update.errors) fail(update.errors.join(' '))
  console.log(`Property update: ${data}`)
  received += 1
  if (received < messages) publish()
  else socket.close()
})

socket.on('error', fail)
