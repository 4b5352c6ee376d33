/**
 * The suite itself: each kind of block passes where it is right, fails where it is broken, and says at which line.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { launch } from '../../npm/test/chromium.mjs'
import { project } from '../../npm/test/project.mjs'
import { open } from './run.mjs'

const user = await project('docs-suite')
const browser = await launch()

/** What comes of the blocks of a text: `'ok'`, `'not run'`, or what is wrong. */
async function outcomes(text) {
  const { steps, close } = open('page.md', text, { user, browser })
  try {
    const all = []
    for (const { notRun, run } of steps) {
      all.push(notRun ? 'not run' : await run().then(() => 'ok', (error) => error.message))
    }
    return all
  } finally {
    await close()
  }
}

const block = (info, ...lines) => ['', `\`\`\`${info}`, ...lines, '```', ''].join('\n')

/** Each text with what is expected of its blocks. */
async function check(...expected) {
  for (const [text, ...wanted] of expected) {
    const actual = await outcomes(text)
    assert.equal(actual.length, wanted.length, text)
    for (const [at, one] of wanted.entries()) {
      assert.match(actual[at], one instanceof RegExp ? one : new RegExp(`^${one}$`), text)
    }
  }
}

const CREATE = `curl -H "Authorization: $KEY" -H 'Content-Type: application/json' "http://$HTTP/thngs" -d`

const REFUSED = '{"status":400,"errors":["name is required."],"code":50331648,"moreInfo":"http://127.0.0.1:8080/docs/errors#50331648"}'
const WRITE = `${CREATE.replace('thngs"', 'thngs/$THNG/properties"')} '[{"key":"a","value":1}]' -X PUT`
const WATCH =
  'mosquitto_sub -h "${MQTT%:*}" -p "${MQTT#*:}" -u authorization -P "$KEY" -v -C 1 -W 20 -t "/thngs/$THNG/properties"'

test('commands share a terminal, and the first that fails ends its block', () =>
  check(
    [block('sh', 'A=1') + block('sh', 'test "$A" = 1'), 'ok', 'ok'],
    [block('sh', 'false', 'true'), /^page\.md:2: bash ended with 1/],
    [block('sh', 'echo "$NOBODY_HAS_SET_THIS"'), /^page\.md:2: bash ended with 1.*NOBODY_HAS_SET_THIS: unbound/s],
    [block('sh', 'A=1') + block('sh', 'false') + block('sh', 'test "$A" = 1'), 'ok', /^page\.md:6: /, 'ok']
  ))

test('an answer that is a refusal fails, unless it is shown', () =>
  check(
    [block('sh', `${CREATE} '{"name": "Lamp"}'`), 'ok'],
    [block('sh', `${CREATE} '{}'`), /^page\.md:2: bash ended with 22.*name is required/s],
    [block('sh', `${CREATE} '{}'`) + block('json output', REFUSED), 'ok', 'ok']
  ))

test('output that is shown is compared, with what runs in the background', () =>
  check(
    [block('sh', 'echo one; echo two') + block('text', 'one', 'two'), 'ok', 'ok'],
    [block('sh', 'echo one') + block('text', 'two'), 'ok', /^page\.md:6: it is not in what was written:\none/],
    [`${block('sh', 'echo one')}\nSo it says:\n${block('text output', 'two')}`, 'ok', /^page\.md:8: /],
    [`${block('sh', 'echo one')}\nThis is syntax:\n${block('text', 'two')}`, 'ok', 'ok'],
    [block('sh', 'echo \'{"a": 1}\'') + block('json output', '{"a": 1}'), 'ok', 'ok'],
    [block('sh', 'echo \'{"a": 1}\'') + block('json output', '{"a": 2}'), 'ok', /^page\.md:6: it is not in/],
    [block('console', '$ echo one', 'one', '$ true'), 'ok'],
    [block('console', '$ echo one', 'two'), /^page\.md:2: it is not in/],
    [
      block('sh', `${WATCH} &`) + block('sh', WRITE) + block('text', '/thngs/…/properties [{"key":"a","value":1,…}]'),
      'ok',
      'ok',
      'ok'
    ]
  ))

test('programs and pages are run, and have to end well', () =>
  check(
    [block('js', '// a.mjs', "import 'thng-pubsub'", "console.log('one')") + block('text', 'one'), 'ok', 'ok'],
    [block('js', "console.log('one')") + block('text', 'two'), 'ok', /^page\.md:6: it is not in/],
    [block('js', "throw new Error('no')"), /^page\.md:2: .*Error: no/s],
    [block('html', '<output>…</output><script>document.querySelector("output").value = 1</script>'), 'ok'],
    [block('html', '<script>nobody()</script>'), /^page\.md:2: ReferenceError: nobody/],
    [
      block('html', '<output>1</output><button>x</button>', '<script>document.querySelector("output").value = 2</script>'),
      /^page\.md:2: the button "x" changes nothing/
    ]
  ))

const delivered = (value) =>
  JSON.stringify([{ key: 'a', value, timestamp: 1700000000000, createdAt: 1700000000000 }])

test('payloads are read, published and delivered as they are shown', () =>
  check(
    [block('json', '{"a": 1}') + block('json', '{"a": …}'), 'ok', /^page\.md:6: .*JSON/],
    [block('json publish /thngs/:thngId/properties', '[{"key": "a", "value": 1}]'), 'ok'],
    [block('json publish /thngs/:thngId/properties', '[{"value": 1}]'), /^page\.md:2: thng-pubsub\/check refuses it/],
    [block('json publish /thngs/:thngId/actions/all', '{"type": "_nothing"}'), /^page\.md:2: the server refuses it/],
    [
      block('json publish /thngs/:thngId/properties', '[{"key": "a", "value": 1}]') +
        block('json delivers /thngs/:thngId/properties', delivered(1)) +
        block('json delivers /thngs/:thngId/properties', delivered(2)),
      'ok',
      'ok',
      /^page\.md:10: what is delivered is/
    ],
    [block('json delivers /thngs/:thngId/properties', '[]'), /^page\.md:2: nothing was published/],
    [block('json deliver /thngs/:thngId/properties', '[]'), /^page\.md:2: there is no "deliver"/]
  ))

test('requests are made, and answered as it is shown', async () => {
  const fields = '"tags":[],"customFields":{},"identifiers":{},"createdAt":1795636488730,"updatedAt":1795636488730'
  const made = `{"id":"Uyx9wqGnHkpccKyVTCb0k7s6","name":"Lamp",${fields}}`
  const location = 'location: /thngs/Uyx9wqGnHkpccKyVTCb0k7s6'
  const shown = (...answer) => block('http', 'POST /thngs', '{"name": "Lamp"}', '', ...answer)
  const get = (answer) => block('http', 'GET /thngs/Uyx9wqGnHkpccKyVTCb0k7s6', '', '200', answer)
  await check(
    [shown('201', location, made) + get(made.replace(/}$/, ',"properties":{}}')), 'ok', 'ok'],
    [shown('201', location, made) + get(made), 'ok', /^page\.md:11: GET \/thngs\/Uyx/],
    [shown('200', made), /^page\.md:2: POST \/thngs should be answered with 200\b.*but is answered with 201/s],
    [shown('201', 'location: /thngs/U', made), /^page\.md:2: /],
    [shown('201', made.replace('Lamp', 'Camp')), /^page\.md:2: /],
    [shown('201', made.replace(',"tags":[]', '')), /^page\.md:2: /],
    [shown('201', `${made} and more`), /^page\.md:2: /],
    [block('http', 'PUT /thngs/Uyx9wqGnHkpccKyVTCb0k7s6', '{"name": ""}'), /^page\.md:2: PUT .* should be answered with 2xx/],
    [block('http', '{"name": ""}'), /^page\.md:2: it does not begin with a request/],
    [block('text', 'GET /thngs'), /^page\.md:2: requests are of the kind "http"/]
  )
})

test('settings and diagrams are looked at', () =>
  check(
    [block('toml', 'http = "127.0.0.1:8080"'), 'ok'],
    [block('toml', 'htp = "127.0.0.1:8080"'), /^page\.md:2: .*did you mean `http`/],
    [block('mermaid', 'flowchart LR', '  a --> b'), 'ok'],
    [block('mermaid', 'flowhcart LR'), /^page\.md:2: it does not begin with a kind of diagram/]
  ))

test('what is not run says why, and nothing else is left out', () =>
  check(
    [`<!-- not run: it installs -->\n${block('sh', 'false')}`, 'not run'],
    [`<!-- not run -->\n${block('sh', 'true')}`, /^page\.md:3: it is marked as not run, without a reason/],
    [`<!-- not run: it installs -->\n\nText.\n${block('sh', 'true')}`, 'ok', /^page\.md:1: a marker stands before/],
    [block('', 'true'), /^page\.md:2: there is no kind ""/],
    [block('bash', 'true'), /^page\.md:2: there is no kind "bash"/],
    [block('text', '$ true'), /^page\.md:2: commands with what they write are of the kind "console"/],
    ['\n```sh\ntrue\n', /^page\.md:2: this block has no end/]
  ))
