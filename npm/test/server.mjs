/**
 * The running server, named by the environment, and the part of its REST API that the tests need.
 */
const {
  THNG_PUBSUB_TEST_URL: url,
  THNG_PUBSUB_TEST_KEY: key,
  THNG_PUBSUB_TEST_HTTPS: https,
  THNG_PUBSUB_TEST_MQTTS: mqtts
} = process.env

if (!url || !key) {
  throw new Error(
    'These tests need a running server: set THNG_PUBSUB_TEST_URL to its http address and THNG_PUBSUB_TEST_KEY to its ' +
      'operator key, or let `cargo xtask test` do so.'
  )
}

export { key, url }

/** An address of a TLS listener, by the name that is in the server's certificate. */
const named = (scheme, address) => address && `${scheme}://localhost:${address.split(':').at(-1)}`

/** The address of the TLS listeners, where the environment names them: `host:port`. */
export const [httpsUrl, mqttsUrl] = [named('https', https), named('mqtts', mqtts)]

/** The certificate of the authority that signed the server's own, for those who want to trust it: PEM. */
export async function clientPem() {
  if (!https || !mqtts) {
    throw new Error('These tests need TLS: set THNG_PUBSUB_TEST_HTTPS and THNG_PUBSUB_TEST_MQTTS to where it is spoken.')
  }
  return (await fetch(`${url}/client.pem`)).text()
}

/** The address of the broker. */
export const brokerUrl = `${url.replace(/^http/, 'ws')}/mqtt`

export async function rest(method, path, body) {
  const headers = { authorization: key, 'content-type': 'application/json' }
  const response = await fetch(url + path, { method, headers, body: body && JSON.stringify(body) })
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`)
  const text = await response.text()
  return text && JSON.parse(text)
}

export const createThng = () => rest('POST', '/thngs', { name: 'a thng of the SDK tests' })

/** That the server has what its pages load. It has it from before its own build; else every page waits in vain. */
export async function assertServesSdk() {
  for (const [path, part] of [['/sdk/thng-pubsub.js', 'PubSub'], ['/examples/app/', 'id="chart"']]) {
    const response = await fetch(url + path)
    if (response.ok && (await response.text()).includes(part)) continue
    throw new Error(
      `The server at ${url} was built before the SDK and the examples: it does not have ${path}. Build it again by ` +
        '`cargo xtask run`, or let `cargo xtask test sdk` build one and run these tests.'
    )
  }
}
