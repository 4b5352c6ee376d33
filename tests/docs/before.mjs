/**
 * What documents take as given: made before their first block is run. Ids are those that the document shows.
 */

/** A user of an application who has been validated. */
async function makeUser(place, key, email, password) {
  const { body } = await place.rest('POST', '/auth/evrythng/users', { email, password, firstName: 'Ada' }, key)
  const { evrythngUser, activationCode } = body
  await place.rest('POST', `/auth/evrythng/users/${evrythngUser}/validate`, { activationCode }, key)
}

export const BEFORE = {
  async 'docs/rest.md'(place) {
    const key = await place.keyOf('application')
    await makeUser(place, key, 'ada@example.com', 'enchantress')
    for (const name of ['made', 'made', 'made']) await place.rest('POST', '/thngs', { name })
    const address = { street: 'Bahnhofstrasse 1', city: 'Zürich', countryCode: 'CH' }
    await place.rest('POST', '/places', { name: 'Hall', latitude: 47.38, longitude: 8.54, address })
    await place.rest('POST', '/accessPolicies', { name: 'readers', permissions: ['thngs:read,list'] })
    await place.actionType()
  },

  async 'docs/topics.md'(place) {
    const product = await place.keep('products', { name: 'Lamp' }, 'UHk84UYpxYMCCsUfKW1ARaWc')
    await place.keep('thngs', { name: 'Lamp 7', product }, 'Uyx9wqGnHkpccKyVTCb0k7s6')
  }
}
