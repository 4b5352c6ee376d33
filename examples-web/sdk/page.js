/* global PubSub, page */

// The connection as the SDK tells of it. The rest of what the page shows is in ../page.js.
PubSub.on('connected', () => page.isRunning() && page.showStatus('connected', 'Connected'))
PubSub.on('disconnected', ({ error, retryInMs }) => {
  // Nothing uses it any more.
  if (error.code === 'CLOSED') return
  if (retryInMs === undefined) page.showStatus('error', error.message)
  else page.showStatus('busy', 'Connection lost, trying again…')
})
PubSub.on('error', ({ error }) => page.showError(error))
