/**
 * Makes of the document that the server sends about a refused publish what an error has of it: its sentences, its
 * status, and the topic where the call that it is about is not known. Other errors stay as they are.
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
