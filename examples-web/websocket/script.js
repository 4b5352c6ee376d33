/* global page, describeClose, onBroken */

page.onStart(async ({ operatorKey, thngId, propertyKey }) => {
  const thng = thngId ? { id: thngId } : await page.rest(operatorKey, 'POST', '/thngs', { name: 'WebSocket example' })
  const path = `/thngs/${thng.id}/properties/${encodeURIComponent(propertyKey)}`

  // Pages cannot set headers of this request, so the key goes into the query.
  const url = `${page.server.replace(/^http/, 'ws')}${path}?access_token=${operatorKey}`
  const socket = new WebSocket(url)
  let isStopped = false

  socket.addEventListener('message', (message) => {
    // An update of the property, or why the server did not take what was sent.
    const data = JSON.parse(message.data)
    console.log(`Property update: ${message.data}`)
    if (Array.isArray(data)) page.showReceived(data)
    else page.showRefused(data.errors.join(' '), `status ${data.status}`)
  })

  // The same payload as in REST.
  const publish = (value) => {
    const update = [{ value }]
    socket.send(JSON.stringify(update))
  }

  await new Promise((resolve, reject) => {
    socket.addEventListener('open', resolve)
    socket.addEventListener('error', async () => reject(await page.askWhy(operatorKey, path)))
  })

  socket.addEventListener('close', (event) => {
    if (isStopped) page.showStatus('idle', describeClose(event))
    else page.showEnd(describeClose(event))
  })

  publish(37.2)
  page.showSent([{ value: 37.2 }], 'by send()')
  onBroken((text) => {
    socket.send(text)
    page.showSentText(text, 'by send()')
  })

  return {
    thngId: thng.id,
    publish,
    stop: () => {
      isStopped = true
      socket.close(1000)
    }
  }
})
