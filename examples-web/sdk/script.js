/* global evrythng, PubSub, page */

// PubSub is there as soon as its script tag has been read. It finds the broker beside the REST API.
evrythng.setup({ apiUrl: page.server, apiVersion: 1, geolocation: false })
evrythng.use(PubSub)

page.onStart(async ({ operatorKey, thngId, propertyKey, intervalMs }) => {
  const operator = new evrythng.Operator(operatorKey)
  await operator.init()

  const thng = thngId ? { id: thngId } : await operator.thng().create({ name: 'SDK example' })
  const property = operator.thng(thng.id).property(propertyKey)
  let timer

  const updateProperty = () => {
    const payload = [{ value: Date.now() }]

    property
      .update(payload)
      .then((data) => {
        console.log(`Sent ${JSON.stringify(data)}`)
        page.showSent(data)
      })
      .catch(page.showError)
  }

  const onMessage = (data) => {
    console.log(`Received ${JSON.stringify(data)}`)
    page.showReceived(data)
    clearTimeout(timer)
    timer = setTimeout(updateProperty, intervalMs)
  }

  await property.subscribe(onMessage)
  updateProperty()

  return {
    thngId: thng.id,
    publish: (value) => property.publish(value, { qos: 1 }),
    stop: () => {
      clearTimeout(timer)
      return property.unsubscribe(onMessage)
    }
  }
})
