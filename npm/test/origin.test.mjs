/**
 * The scripts and pages that the server serves send nothing to another host, and what the product description shows runs
 * with these scripts, verbatim.
 */
import assert from 'node:assert/strict'
import { afterEach, test } from 'node:test'

import { launch } from './chromium.mjs'
import { assertServesSdk, createThng, httpsUrl, key, rest, url } from './server.mjs'

await assertServesSdk()

/** The host that the product description connects to; here it is the server under test. */
const PLATFORM = 'ws.evrythng.com'
const browser = await launch(
  `--host-resolver-rules=MAP ${PLATFORM}:443 127.0.0.1:${new URL(httpsUrl).port}`,
  '--ignore-certificate-errors',
  // The pages of the tests have no address, so that the browser takes them for pages of the internet.
  '--disable-features=LocalNetworkAccessChecks'
)

/** Requests to other origins than those that a test allows. They are not let through. */
let foreign
let allowed
/** What pages of the tests consist of, by their address. */
let files
let page
let written

afterEach(() => page?.close())

await browser.route('**/*', (route) => {
  const address = new URL(route.request().url())
  if (!['http:', 'https:'].includes(address.protocol)) return route.continue()
  const body = files[address.origin + address.pathname]
  if (body !== undefined) return route.fulfill({ body, contentType: address.pathname.endsWith('.js') ? 'text/javascript' : 'text/html' })
  if (allowed.includes(address.origin)) return route.continue()
  foreign.push(address.href)
  return route.abort()
})

/** Opens a page, of which `own` are the files by their addresses. */
async function open(address, own = {}) {
  foreign = []
  allowed = [new URL(url).origin]
  files = own
  written = []
  page = await browser.newPage()
  page.on('console', (message) => written.push(message.text()))
  page.on('pageerror', (error) => written.push(String(error)))
  page.on('websocket', (socket) => {
    const { host } = new URL(socket.url())
    if (![new URL(url).host, PLATFORM].includes(host)) foreign.push(socket.url())
  })
  await page.goto(address)
}

async function untilWritten(pattern) {
  for (const deadline = Date.now() + 20_000; !written.some((line) => pattern.test(line)); ) {
    if (Date.now() > deadline) assert.fail(`the page did not write ${pattern}, but: ${written.join('\n')}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** The example of the product description for its SDK, as it is there. */
const SDK_SCRIPT = `const OPERATOR_API_KEY = '$OPERATOR_API_KEY';
const THNG_ID = '$THNG_ID';
const PROPERTY_KEY = '$PROPERTY_KEY';
const INTERVAL_MS = 2000;

// PubSub is declared after import from <script> tag
evrythng.use(PubSub);

const operator = new evrythng.Operator(OPERATOR_API_KEY);

const updateProperty = () => {
  const payload = [{ value: Date.now() }];

  operator.thng(THNG_ID).property(PROPERTY_KEY)
    .update(payload)
    .then(data => console.log(\`Sent \${JSON.stringify(data)}\`))
    .catch(console.error);
};

const onMessage = (data) => {
  console.log(\`Received \${JSON.stringify(data)}\`);
  setTimeout(updateProperty, INTERVAL_MS);
};

const main = () => {
  operator.thng(THNG_ID).property(PROPERTY_KEY)
    .subscribe(onMessage)
    .catch(console.error);

  setTimeout(updateProperty, INTERVAL_MS);
};

main();
`

/** The same for mqttws31.js. */
const MQTT_SCRIPT = `const RESOURCE = \`/thngs/UMVm3wUXMGPYEqwaanXVsAbr/properties\`;
const DEVICE_API_KEY = '';

const connectToBroker = () => {
  // Connect with client ID
  const client = new Messaging.Client('ws.evrythng.com', 443, \`client_\${Date.now()}\`);
  client.startTrace();

  // Print messages received
  client.onMessageArrived = (message) => {
    console.log(\`Received \${message.payloadString}\`);
  };

  console.log('Connecting...');
  client.connect({
    useSSL: true,
    onSuccess: () => {
      console.log('Connected successfully!');

      // Authenticate with access_token parameter
      client.subscribe(\`\${RESOURCE}?access_token=\${DEVICE_API_KEY}\`);
    },
  });
};

connectToBroker();
`

const pageWith = (...scripts) => scripts.map((src) => `<script src="${src}"></script>`).join('\n')

const PLACES = { 'a page of the server': [url, ''], 'a page of another origin': ['http://page.test', url] }

for (const [place, [origin, server]] of Object.entries(PLACES)) {
  test(`${place}: the script of the product description stays at the server`, async () => {
    const { id } = await createThng()
    const script = SDK_SCRIPT.replace('$OPERATOR_API_KEY', key).replace('$THNG_ID', id).replace('$PROPERTY_KEY', 'p')
    await open(`${origin}/example/`, {
      [`${origin}/example/`]: pageWith(`${server}/sdk/evrythng.js`, `${server}/sdk/thng-pubsub.js`, './script.js'),
      [`${origin}/example/script.js`]: script
    })
    await untilWritten(/^Sent/)
    await untilWritten(/^Received/)
    assert.deepEqual(foreign, [])
    const [{ value }] = await rest('GET', `/thngs/${id}/properties/p`)
    assert.ok(Math.abs(value - Date.now()) < 60_000)
  })

  test(`${place}: every way to ask evrythng.js stays at the server`, async () => {
    await open(`${origin}/example/`, { [`${origin}/example/`]: pageWith(`${server}/sdk/evrythng.js`) })
    const apiUrls = await page.evaluate(async (key) => {
      const seen = [evrythng.settings.apiUrl]
      for (const settings of [{}, { geolocation: false }, { apiVersion: 1 }, { apiVersion: 2 }, { region: 'eu' }, { region: 'eu', apiVersion: 1 }]) {
        seen.push(evrythng.setup(settings).apiUrl)
        const operator = new evrythng.Operator(key)
        await operator.init()
        await operator.thng('U00000000000000000000000').redirection().read().catch(() => {})
      }
      return seen
    }, key)
    assert.deepEqual(new Set(apiUrls), new Set([url]))
    assert.deepEqual(foreign, [])
    const named = await page.evaluate(() => evrythng.setup({ apiUrl: 'https://api.example.com' }).apiUrl)
    assert.equal(named, 'https://api.example.com', 'what a program says counts')
  })

  test(`${place}: the SDK alone finds the server that serves it`, async () => {
    const { id } = await createThng()
    for (const load of ['script', 'module', 'slim']) {
      await open(`${origin}/example/`, { [`${origin}/example/`]: '<title>empty</title>' })
      await page.evaluate(
        async ([load, sdk, key, id]) => {
          if (load === 'script') {
            const script = Object.assign(document.createElement('script'), { src: `${sdk}/thng-pubsub.js` })
            await new Promise((resolve) => document.head.append(Object.assign(script, { onload: resolve })))
          } else if (load === 'module') {
            globalThis.PubSub = (await import(`${sdk}/thng-pubsub.mjs`)).default
          } else {
            globalThis.PubSub = (await import(`${sdk}/thng-pubsub.slim.mjs`)).default
            await PubSub.init(`${sdk}/thng-pubsub.wasm`)
          }
          const property = new PubSub.Operator(key).thng(id).property(load)
          await property.publish(1, { qos: 1 })
          await property.update(2)
          await PubSub.close()
        },
        [load, `${server || url}/sdk`, key, id]
      )
      assert.deepEqual(foreign, [], load)
      assert.equal((await rest('GET', `/thngs/${id}/properties/${load}`)).length, 2)
      await page.close()
    }
  })
}

test('the page of the product description runs with mqttws31.js', async () => {
  const { id } = await createThng()
  const script = MQTT_SCRIPT.replace('UMVm3wUXMGPYEqwaanXVsAbr', id).replace("DEVICE_API_KEY = ''", `DEVICE_API_KEY = '${key}'`)
  await open(`${url}/example/`, {
    [`${url}/example/`]: pageWith('/sdk/mqttws31.js', './script.js'),
    [`${url}/example/script.js`]: script
  })
  await untilWritten(/^Connected successfully!/)
  for (let n = 0; !written.some((line) => line.startsWith('Received')); n++) {
    await rest('PUT', `/thngs/${id}/properties/p`, [{ value: n }])
  }
  assert.deepEqual(foreign, [])
  assert.ok(await page.evaluate(() => Messaging === Paho && Paho.MQTT.Client === Messaging.Client))
})

test('no page of the server loads anything from elsewhere, or against its policy', async () => {
  const { id } = await createThng()
  const seen = new Set()
  const waiting = ['/docs', '/docs/errors', '/sdk/', '/examples/']
  const [seenForeign, blocked] = [[], []]
  while (waiting.length) {
    const path = waiting.shift()
    if (seen.has(path)) continue
    seen.add(path)
    await open(`${url}${path}#${new URLSearchParams({ key, thng: id })}`)
    const links = await page.evaluate(() => [...document.querySelectorAll('a[href], iframe[src]')].map((it) => it.href ?? it.src))
    for (const link of links.map((href) => new URL(href))) {
      const isPage = link.origin === new URL(url).origin && /(\/|\/docs\/\w+|\.html)$/.test(link.pathname)
      if (isPage) waiting.push(link.pathname)
    }
    const start = page.getByRole('button', { name: /^(Start|Connect)$/ })
    if (await start.count()) await start.first().click({ timeout: 500 }).catch(() => {})
    await page.waitForLoadState('load')
    seenForeign.push(...foreign)
    blocked.push(...written.filter((line) => line.includes('Content Security Policy')))
    await page.close()
  }
  assert.deepEqual(seenForeign, [])
  assert.deepEqual(blocked, [])
  for (const path of ['/docs', '/examples/sdk/', '/examples/paho/', '/examples/websocket/', '/examples/app/']) {
    assert.ok(seen.has(path), `${path} was not among ${[...seen]}`)
  }
})
