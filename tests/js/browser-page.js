// What runs in the page of `browser.test.mjs`: npm's `paho-mqtt`, and the browser's own WebSocket. They
// report what they receive by the test's function `tell`.

/* global Paho, tell */

/** Paho's client. It reconnects by itself; its user has to subscribe again. */
globalThis.paho = {
  topics: [],

  connect ({ host, port, key, clientId, isClean, mqttVersion }) {
    this.client = new Paho.Client(host, port, '/mqtt', clientId)
    this.client.onMessageArrived = message => tell('message', message.destinationName, message.payloadString)
    this.client.onMessageDelivered = () => tell('delivered')
    this.client.onConnected = isAgain => {
      if (isAgain && isClean) this.topics.forEach(([topic, qos]) => this.client.subscribe(topic, { qos }))
      tell('connected')
    }
    const settings = { userName: 'authorization', password: key, cleanSession: isClean, mqttVersion, reconnect: true }
    return new Promise((resolve, reject) => {
      this.client.connect({ ...settings, onSuccess: () => resolve(), onFailure: ({ errorMessage }) => reject(Error(errorMessage)) })
    })
  },

  subscribe (topic, qos) {
    return new Promise((resolve, reject) => {
      const onSuccess = ({ grantedQos }) => {
        this.topics.push([topic, qos])
        resolve(grantedQos[0])
      }
      this.client.subscribe(topic, { qos, onSuccess, onFailure: ({ errorCode }) => reject(Error(`refused: ${errorCode}`)) })
    })
  },

  publish (topic, payload) {
    this.client.send(topic, payload, 1)
  }
}

/** A socket for each topic, and a new one in the place of each that was lost. */
globalThis.sockets = {
  open: new Map(),

  connect ({ host, port, key }) {
    this.url = topic => `ws://${host}:${port}${topic}${topic.includes('?') ? '&' : '?'}access_token=${key}`
  },

  subscribe (topic) {
    const socket = new WebSocket(this.url(topic))
    socket.addEventListener('message', ({ data }) => tell('message', topic, data))
    return new Promise((resolve, reject) => {
      socket.addEventListener('error', () => reject(Error('refused')))
      socket.addEventListener('open', () => {
        this.open.set(topic, socket)
        socket.addEventListener('close', () => this.subscribe(topic).then(() => tell('connected')))
        resolve()
      })
    })
  },

  publish (topic, payload) {
    this.open.get([...this.open.keys()].find(open => open.startsWith(topic))).send(payload)
  }
}
