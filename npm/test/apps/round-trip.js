/** Subscribes to a property, publishes to it, and resolves with the value that came back. */
export async function roundTrip(PubSub, { apiUrl, key, path, value }) {
  class Resource {
    path = path
    scope = { apiKey: key }
    deserialize(document) {
      return document
    }
  }
  PubSub.install({ resources: { Resource } })
  PubSub.setup({ apiUrl })
  const property = new Resource()
  const received = new Promise((resolve) => (property.receive = resolve))
  await property.subscribe(property.receive)
  await property.publish(value, { qos: 1 })
  const [update] = await received
  await PubSub.close()
  return update.value
}

/** The parameters of the page, from its address. */
export const parameters = () => Object.fromEntries(new URLSearchParams(location.search))

/** Leaves in the page how it went, for the test to look at. */
export function show(outcome) {
  outcome.then(
    (value) => (globalThis.outcome = { value }),
    (error) => (globalThis.outcome = { error: String(error) })
  )
}
