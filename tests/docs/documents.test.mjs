/**
 * Every block of the documents is run, and what they link to and list is there. `run.mjs` says what is done with which.
 *
 * A test is a document, and each of its blocks a test of its own, named by its line. `THNG_PUBSUB_DOCUMENTS` has parts
 * of the paths of those that are meant, with commas between them.
 */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { readFile, readdir, symlink } from 'node:fs/promises'
import { dirname, join, normalize, relative } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

import { launch } from '../../npm/test/chromium.mjs'
import { project } from '../../npm/test/project.mjs'
import { read } from './markdown.mjs'
import { Place } from './place.mjs'
import { open } from './run.mjs'

const root = fileURLToPath(new URL('../..', import.meta.url))
const wanted = (process.env.THNG_PUBSUB_DOCUMENTS ?? '').split(',').filter(Boolean)

/** What is not one of the documents that are run, but has links that have to lead somewhere. */
const LINKS_ONLY = ['tests/README.md']

async function below(folder, name) {
  const entries = await readdir(join(root, folder), { withFileTypes: true, recursive: name === '**' })
  const files = entries.filter((entry) => entry.isFile() && entry.name.endsWith('.md'))
  return files.map((entry) => relative(root, join(entry.parentPath ?? entry.path, entry.name)))
}

const documents = [...(await below('.')), 'npm/README.md', ...(await below('docs', '**'))].sort()
const text = Object.fromEntries(
  await Promise.all([...documents, ...LINKS_ONLY].map(async (path) => [path, await readFile(join(root, path), 'utf8')]))
)
const parsed = Object.fromEntries(Object.entries(text).map(([path, source]) => [path, read(source)]))

const user = await project('docs')
await symlink(join(root, 'npm/node_modules/mqtt'), join(user.folder, 'node_modules/mqtt'))
const browser = await launch()

/** The document as its readers have it: the SDK's has the hash of the script, which is known when it is packed. */
async function asRead(path) {
  if (path !== 'npm/README.md') return text[path]
  const packed = await readFile(join(user.folder, 'node_modules/thng-pubsub/README.md'), 'utf8')
  const [integrity] = /sha384-[A-Za-z0-9+/]{64}/.exec(packed)
  return text[path].replace('sha384-INTEGRITY', integrity)
}

for (const path of documents.filter((path) => !wanted.length || wanted.some((part) => path.includes(part)))) {
  const { blocks, faults } = parsed[path]
  if (!blocks.length && !faults.length) continue
  test(path, async (t) => {
    const { steps, close } = open(path, await asRead(path), { user, browser })
    t.after(close)
    for (const { where, kind, notRun, run } of steps) {
      await t.test(`${where} ${kind}`, { skip: notRun && `not run: ${notRun}` }, run)
    }
  })
}

test('every link of the documents leads to something', () => {
  const wrong = []
  for (const [path, { links }] of Object.entries(parsed)) {
    for (const { line, target } of links) {
      if (/^[a-z]+:/.test(target)) continue
      const [way, anchor] = target.split('#')
      const file = way ? normalize(join(dirname(path), way)) : path
      if (anchor && parsed[file] && !parsed[file].headings.includes(anchor)) wrong.push(`${path}:${line}: ${target}`)
      if (!parsed[file] && !existsSync(join(root, file))) wrong.push(`${path}:${line}: ${target}`)
    }
  }
  assert.deepEqual(wrong, [])
})

test('docs/README.md names every page of docs/', () => {
  const { links } = parsed['docs/README.md']
  const linked = new Set(links.map(({ target }) => normalize(join('docs', target.split('#')[0]))))
  const pages = documents.filter((path) => path.startsWith('docs/') && path !== 'docs/README.md')
  assert.deepEqual(pages.filter((path) => !linked.has(path)), [])
})

test('the page of error codes lists those of docs/errors.md', async () => {
  const place = new Place('', join(user.folder, 'node_modules'))
  try {
    const { text: page } = await place.ask('GET', '/docs/errors', '')
    const served = [...page.matchAll(/<td>(\d+)<\/td><td>(\d+)<\/td>/g)].map(([, ...row]) => row.join(' ')).sort()
    assert.ok(served.length > 10, 'the page of the server has its table')
    const rows = parsed['docs/errors.md'].tables.map(({ cells }) => cells.slice(0, 2))
    const codes = rows.filter(([code]) => /^\d{8}$/.test(code))
    assert.deepEqual(codes.map((row) => row.join(' ')).sort(), served)
  } finally {
    await place.close()
  }
})

test('the codes of the SDK that docs/errors.md names are there', async () => {
  const source = await readFile(join(root, 'npm/src/errors.js'), 'utf8')
  const codes = [...source.matchAll(/^ {2}([A-Z_]+): \(/gm)].map(([, code]) => code)
  const [, section] = text['docs/errors.md'].split(/^(?=## The SDK)/m)
  const named = [...section.split(/^(?=## )/m)[0].matchAll(/`([A-Z_]+)`/g)].map(([, code]) => code)
  assert.ok(named.length > 5, 'the section was found')
  assert.deepEqual(named.filter((code) => !codes.includes(code)), [])
})
