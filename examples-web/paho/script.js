/* global Paho, page */

page.onStart(async ({ operatorKey, thngId, propertyKey }) => {
  const thng = thngId ? { id: thngId } : await page.rest(operatorKey, 'POST', '/thngs', { name: 'Paho example' })
  const resource = `/thngs/${thng.id}/properties/${encodeURIComponent(propertyKey)}`

  // The key goes with the topic, so that topics of different keys can share a connection.
  const topic = `${resource}?access_token=${operatorKey}`
  const url = `${page.server.replace(/^http/, 'ws')}/mqtt`

  // Connect with a client id of one's own.
  const client = new Paho.Client(url, `client_${Date.now()}`)

  client.onMessageArrived = (message) => {
    console.log(`Received ${message.payloadString}`)
    page.showReceived(JSON.parse(message.payloadString))
  }

  client.onConnectionLost = ({ errorCode, errorMessage }) => {
    // Code 0 is a disconnect() of our own.
    if (errorCode !== 0) page.showStatus('busy', `Connection lost, trying again… (${errorMessage})`)
  }

  // Paho connects again by itself, but subscribing again is up to the page.
  const subscribe = () =>
    new Promise((resolve, reject) => {
      client.subscribe(topic, {
        qos: 1,
        onSuccess: resolve,
        onFailure: async () => reject(await page.askWhy(operatorKey, resource))
      })
    })

  client.onConnected = (isAgain) => {
    if (isAgain) subscribe().then(() => page.showStatus('connected', 'Connected'), page.showError)
  }

  console.log('Connecting…')
  await new Promise((resolve, reject) => {
    client.connect({
      reconnect: true,
      onSuccess: resolve,
      onFailure: ({ errorMessage }) => reject(new Error(`There is no connection to the server: ${errorMessage}`))
    })
  })
  console.log('Connected successfully!')

  try {
    await subscribe()
  } catch (error) {
    client.disconnect()
    throw error
  }

  const publish = (value) => {
    const message = new Paho.Message(JSON.stringify([{ value }]))
    message.destinationName = topic
    message.qos = 0
    client.send(message)
  }

  publish(37.2)
  page.showSent([{ value: 37.2 }], 'by send()')

  return { thngId: thng.id, publish, stop: () => client.disconnect() }
})
