// The scopes of every kind of key in a project of their own, for each version of npm's `evrythng`, and what the tests of
// its REST calls share. One version is tested after the other, so the variables are those of the present one.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { before, describe } from 'node:test'

import { VERSIONS } from './evrythng.mjs'
import { key, rest, within } from './server.mjs'

export const ID = /^U[0-9A-HK-NP-Ya-hkmnp-tw-y]{23}$/
export const ROLE_ID = /^[0-9a-f]{24}$/
export const KEY = /^[0-9A-Za-z]{80}$/

/** The same with something behind it that nothing else has. */
export const unique = name => `${name} ${randomUUID().slice(0, 8)}`

/** The fields of `document` that `pattern` has. */
export const like = (document, pattern) =>
  Object.fromEntries(Object.keys(pattern).map(field => [field, document[field]]))

export const ids = documents => documents.map(({ id }) => id)

/** What was last answered to an SDK: they call the global `fetch`. */
export let answered
const { fetch } = globalThis
globalThis.fetch = async (...call) => {
  const response = await fetch(...call)
  answered = { status: response.status, location: response.headers.get('location') }
  return response
}

export let operator, project, applicationDocument, application, trusted

/** Declares the tests of each version. */
export function describeVersions (declare) {
  for (const [version, { evrythng, settings }] of Object.entries(VERSIONS)) {
    describe(version, () => {
      before(async () => {
        evrythng.setup(settings)
        operator = new evrythng.Operator(key)
        await within('the operator', operator.init())
        project = await operator.project().create({ name: unique('project') })
        applicationDocument = await operator.project(project.id).application()
          .create({ name: unique('application'), socialNetworks: {} })
        application = new evrythng.Application(applicationDocument.appApiKey)
        await within('the application', application.init())
        const { secretApiKey } = await operator.project(project.id).application(applicationDocument.id).secretKey().read()
        trusted = new evrythng.TrustedApplication(secretApiKey)
        await within('the trusted application', trusted.init())
      })

      declare({ evrythng, settings })
    })
  }
}

/** The access document of a key. */
export async function access (apiKey) {
  const { status, body } = await rest('GET', '/access', undefined, apiKey)
  assert.equal(status, 200)
  return body
}

/** The scope of a new user without a name. */
export async function anonymousUser () {
  const user = await application.appUser().create({ anonymous: true })
  await within('the user', user.init())
  return user
}
