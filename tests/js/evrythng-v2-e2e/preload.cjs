// Brings the end-to-end suite of npm `evrythng` 6.0.5, which was written for the platform itself, to the server under
// test, without a change in it.

const PLATFORM = 'https://api.evrythng.io/v2'
const apiUrl = `${process.env.THNG_PUBSUB_TEST_URL}/v2`
process.env.OPERATOR_API_KEY = process.env.THNG_PUBSUB_TEST_KEY

// The suite calls `setup()` for its key, and that call sets the URL back to the platform's; interceptors stay.
require('evrythng-6').setup({
  apiUrl,
  interceptors: [{ request: options => options.apiUrl === PLATFORM ? { ...options, apiUrl } : options }]
})
