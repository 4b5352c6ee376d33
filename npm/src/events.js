/** What a connection can report of itself. */
const EVENTS = ['connecting', 'connected', 'disconnected', 'error']

/** The listeners of all connections, or of those of a scope. */
export function createListeners() {
  const listeners = new Map(EVENTS.map((type) => [type, new Set()]))

  function setOf(type) {
    const set = listeners.get(type)
    if (!set) throw new TypeError(`There is no event '${type}'; there are ${EVENTS.join(', ')}.`)
    return set
  }

  return {
    /** Calls `listener` with each event of a type, until the function that this returns is called. */
    on(type, listener) {
      const set = setOf(type)
      set.add(listener)
      return () => void set.delete(listener)
    },

    off: (type, listener) => void setOf(type).delete(listener),

    /** Returns whether anything listened. */
    emit(event) {
      const all = [...setOf(event.type)]
      for (const listener of all) {
        try {
          listener(event)
        } catch (error) {
          console.error(error)
        }
      }
      return all.length > 0
    }
  }
}
