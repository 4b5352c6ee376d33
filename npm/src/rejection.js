/**
 * Converts the server's document about a refused publish into the fields of an error: its sentences, its status, and
 * the topic if the call is unknown. Other errors stay as they are.
 */
export function explain(code, about) {
  if (code !== 'PUBLISH_REFUSED') return about
  try {
    const { status, errors, topic } = JSON.parse(about.detail)
    return { ...about, topic: about.topic ?? topic, answer: errors.join(' '), status, errors }
  } catch {
    // The connection was closed instead, and the detail says how.
    return about
  }
}
