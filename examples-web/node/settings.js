/**
 * What the scripts of this folder take from the environment:
 *
 *   KEY       an operator's API key (`data/operator.key`).
 *   THNG      a thng's id; without it a new one is made.
 *   HTTP      the server's HTTP address, 127.0.0.1:8080 by default.
 *   MQTT      its MQTT address, 127.0.0.1:1883 by default.
 *   MESSAGES  the number of updates after which they end, 3 by default.
 */
const { KEY, THNG, HTTP = '127.0.0.1:8080', MQTT = '127.0.0.1:1883', MESSAGES = '3' } = process.env

/** Ends the script, saying why. */
export function fail(error) {
  console.error(error.message ?? error)
  process.exit(1)
}

if (!KEY) fail('Set KEY to an operator API key: export KEY=$(cat data/operator.key)')

export const key = KEY
export const http = HTTP
export const mqttAddress = MQTT
export const messages = Number(MESSAGES)
export const thng = THNG || (await createThng().catch(fail))

async function createThng() {
  const response = await fetch(`http://${HTTP}/thngs`, {
    method: 'POST',
    headers: { authorization: KEY, 'content-type': 'application/json' },
    body: JSON.stringify({ name: 'Node.js example' })
  })
  const document = await response.json()
  if (!response.ok) throw new Error(document.errors.join(' '))
  return document.id
}

/** A temperature, as a sensor would measure it. */
export const measure = () => Math.round(200 + 50 * Math.random()) / 10
