/**
 * The SDK by itself, without evrythng.js: subscribes to a property and publishes it, and ends after some updates.
 * ./settings.js says what is taken from the environment.
 */
import PubSub from 'thng-pubsub'

import { fail, http, key, measure, messages, thng } from './settings.js'

const operator = new PubSub.Operator(key, { apiUrl: `http://${http}` })
const temperature = operator.thng(thng).property('temperature')
let received = 0
let onComplete
const complete = new Promise((resolve) => (onComplete = resolve))

const onMessage = (updates) => {
  console.log(`Received ${JSON.stringify(updates)}`)
  received += 1
  if (received === messages) onComplete()
}

try {
  await temperature.subscribe(onMessage)
  console.log('Connected!')
  // With QoS 1 a publish is over when it is stored.
  for (let i = 0; i < messages; i += 1) await temperature.publish(measure(), { qos: 1 })
  await complete
  await PubSub.close()
} catch (error) {
  fail(error)
}
