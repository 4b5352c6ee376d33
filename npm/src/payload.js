/** Resources whose documents are lists of values: all properties of something, or one of them. */
const PROPERTIES = /\/properties(\/[^/]*)?$/

/**
 * What is written for a payload, by a publish or by a REST request.
 *
 * On properties it is what evrythng.js makes of the argument of `update()`: `5` becomes `[{"value":5}]`, and
 * `{a: 1, b: 2}` an entry for each key. Elsewhere it is the payload itself.
 */
export function documentFor(path, payload) {
  return PROPERTIES.test(path) ? propertyUpdates(payload) : payload
}

/** The same as the text of a message. A string is sent as it is, unless it is the value of a property. */
export function messageFor(path, payload) {
  const document = documentFor(path, payload)
  return typeof document === 'string' ? document : JSON.stringify(document)
}

function propertyUpdates(document) {
  if (Array.isArray(document)) return document
  if (typeof document !== 'object') return [{ value: document }]
  if ('value' in document) return [document]
  return Object.entries(document).map(([key, value]) => ({ key, value }))
}
