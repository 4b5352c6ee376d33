/**
 * What an error, or the event of one, says. A name with several addresses has an error for each, and no message of its
 * own.
 */
export function reasonOf(error) {
  if (!error) return ''
  const inside = error.errors ? [...new Set(error.errors.map(reasonOf))].join('; ') : reasonOf(error.error)
  return String(error.message || inside || error.code || '')
}
