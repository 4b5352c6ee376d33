/**
 * MQTT on TCP, with npm's `mqtt`: subscribes to a property and publishes it, and ends after some updates.
 * ./settings.js says what is taken from the environment.
 */
import mqtt from 'mqtt'

import { fail, key, measure, messages, mqttAddress, thng } from './settings.js'

const topic = `/thngs/${thng}/properties/temperature`
const client = mqtt.connect(`mqtt://${mqttAddress}`, { username: 'authorization', password: key })
let received = 0

const publish = () => client.publish(topic, JSON.stringify([{ value: measure() }]), { qos: 1 })

client.on('connect', async () => {
  console.log('Connected!')
  await client.subscribeAsync(topic).catch(() => fail('The server refused the subscription: is the id of the thng right?'))
  publish()
})

client.on('message', (topic, message) => {
  console.log(`${topic}: ${message}`)
  received += 1
  if (received < messages) publish()
  else client.end()
})

client.on('error', fail)
