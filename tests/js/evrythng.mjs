// npm `evrythng`, the SDK of the platform, in the ways that it is used.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'

import { httpUrl } from './server.mjs'

const require = createRequire(import.meta.url)

/** The last version for API v1 and the last one at all, each with its settings. */
export const VERSIONS = {
  'evrythng 5.10.1': { evrythng: require('evrythng-5'), settings: { apiUrl: httpUrl, geolocation: false } },
  'evrythng 6.0.5, API v1': {
    evrythng: require('evrythng-6'),
    settings: { apiUrl: httpUrl, apiVersion: 1, geolocation: false }
  },
  'evrythng 6.0.5, API v2': {
    evrythng: require('evrythng-6'),
    settings: { apiUrl: `${httpUrl}/v2`, apiVersion: 2, geolocation: false }
  }
}

/** The document of the refusal that a call meets. */
export async function refusal (call) {
  try {
    await call
  } catch (error) {
    // Some versions throw the document, others an error whose message is the document.
    return error instanceof Error ? JSON.parse(error.message) : error
  }
  return assert.fail('the call was to be refused')
}
