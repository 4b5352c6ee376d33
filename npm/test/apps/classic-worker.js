importScripts('./node_modules/thng-pubsub/dist/pubsub.js')

onmessage = async ({ data }) => {
  const { roundTrip } = await import('./round-trip.js')
  postMessage(await roundTrip(PubSub, data))
}
