// Brings the end-to-end suite of npm `evrythng` 5.5.0, which was written in 2019 for the platform itself, to the server
// under test, without a change in it.

const Module = require('node:module')

const apiUrl = process.env.THNG_PUBSUB_TEST_URL
process.env.OPERATOR_API_KEY = process.env.THNG_PUBSUB_TEST_KEY

// The suite's `evrythng` is the version that it came with, here installed under another name.
const resolve = Module._resolveFilename
Module._resolveFilename = function (request, ...rest) {
  return resolve.call(this, request === 'evrythng' ? require.resolve('evrythng-5-5') : request, ...rest)
}

// Where there is no `fetch`, as in the Node.js of that time, the SDK uses the one that it carries. That one sends the
// bodies of GET requests, which misc/api.spec has, and goes through `http`, which nock can intercept.
delete globalThis.fetch

// Orders of the ADI are answered by nock in the suite, which does so on the platform's host. Other hosts, such as
// those of redirections, are not ours, and a test has no business there.
const MOCKED = 'https://api.evrythng.com'
const stayHere = {
  request (options) {
    if (options.url.startsWith('/adis/')) return { ...options, apiUrl: MOCKED }
    if (new URL(options.apiUrl).origin !== apiUrl) throw new Error(`${options.apiUrl} is not the server under test`)
    return options
  }
}

require('evrythng').setup({ apiUrl, geolocation: false, interceptors: [stayHere] })
