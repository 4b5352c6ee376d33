/** Resources whose documents are lists of values: all properties of something, or one of them. */
const PROPERTIES = /\/properties(\/[^/]*)?$/

/**
 * What is published for a payload, as the text of a message.
 *
 * On properties it is what evrythng.js makes of the argument of `update()`: `5` becomes `[{"value":5}]`, and
 * `{a: 1, b: 2}` an entry for each key. On other resources an object is sent as JSON and a string as it is.
 */
export function messageOf(resource, payload) {
  const document = toJSON(resource, payload)
  if (PROPERTIES.test(resource.path)) return JSON.stringify(propertyUpdates(document))
  return typeof document === 'string' ? document : JSON.stringify(document)
}

/** What a message becomes for a callback: the entities of the resource where it is JSON, else its text. */
export function documentOf(resource, text) {
  try {
    // The name in evrythng.js since version 5, and before.
    const parse = resource.deserialize ?? resource.parse
    return parse.call(resource, JSON.parse(text))
  } catch {
    return text
  }
}

/** An entity as the plain document that it stands for. */
function toJSON(resource, payload) {
  const serialize = resource.serialize ?? resource.jsonify
  return typeof payload === 'object' && serialize ? serialize.call(resource, payload) : payload
}

function propertyUpdates(document) {
  if (Array.isArray(document)) return document
  if (typeof document !== 'object') return [{ value: document }]
  if ('value' in document) return [document]
  return Object.entries(document).map(([key, value]) => ({ key, value }))
}
