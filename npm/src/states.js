/**
 * Keeps a callback of a subscription with `pubStates` from seeing its state go backward.
 *
 * A state is read beside the updates: it may say what an update has said before, or what is older, for some properties
 * of a resource and not for others.
 *
 * @returns {(text: string, isState: boolean, connection: number) => string | undefined} gives what of a message is news;
 *   nothing, if none of it is. `connection` counts the connections: a state is never late on the first message of
 *   another one, since what was known may have been deleted, or its clock set back.
 */
export function createNewsFilter() {
  /** For each property, or the whole resource, when its latest value was valid, and on which connection it came. */
  const latest = new Map()

  const isNews = (entry, isState, connection) => {
    const time = entry?.updatedAt ?? entry?.timestamp ?? entry?.createdAt
    if (time === undefined) return true
    const known = latest.get(entry.key)
    if (connection === known?.connection && time <= known.time) return !isState
    latest.set(entry.key, { time, connection })
    return true
  }

  return (text, isState, connection) => {
    let entries
    try {
      entries = [JSON.parse(text)].flat()
    } catch {
      return text
    }
    const news = entries.filter((entry) => isNews(entry, isState, connection))
    if (news.length === entries.length) return text
    return news.length ? JSON.stringify(news) : undefined
  }
}
