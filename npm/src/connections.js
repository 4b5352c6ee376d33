import { abortable, aborted, quietly } from './abort.js'
import { PubSubError, withTopic } from './errors.js'
import { createListeners } from './events.js'
import { makeConnection } from './make-connection.js'
import { createMessages } from './messages.js'
import { messageFor } from './payload.js'
import { change, check, defaults } from './settings.js'
import { createNewsFilter } from './states.js'
import { createOutcome, createSubscription, openSubscription } from './subscription.js'

/** Errors that are about a topic and cost no subscription to it. */
const HARMLESS = ['CALLBACK', 'ENGINE_FAILED', 'PUBLISH_REFUSED']

/**
 * The settings, the events and the connections, which the plugin and the standalone scopes share.
 *
 * There is one connection for each scope, server, key and transport, made when it is first used. A call is about a
 * target:
 *
 * - `path` is its topic.
 * - `scope` is an object; targets of the same one share connections.
 * - `key` is its API key.
 * - `own` has the settings of the scope, which win over those of `setup()`.
 * - `read(text)` makes of a message what a callback receives, and `write(payload)` of a payload the document it means.
 * - `findServer()` says where the server is when no setting does; also as a promise.
 *
 * @param {object} platform - See `pubsub.js`.
 */
export function createConnections(platform) {
  const settings = { ...defaults }
  const listeners = createListeners()
  /** The listeners of each scope that has some. */
  const ofScope = new WeakMap()
  /**
   * For each scope its connections by what tells them apart. Calls wait for `ready`, always, and so keep their order;
   * `connection` is what it has become. `subscriptions` are those that have not ended, and `calls` counts the others that
   * have not been settled.
   */
  const byScope = new WeakMap()
  const scopes = new Set()
  /** The connections and sockets whose end an `onError` got. */
  const handled = new WeakSet()

  /**
   * Resolves with a handle when the server has confirmed it.
   *
   * @throws {PubSubError} NO_CALLBACK
   */
  function subscribe(target, onMessage, options) {
    if (typeof onMessage !== 'function') throw new PubSubError('NO_CALLBACK')
    const outcome = createOutcome(onMessage, options?.onError)
    const { topic, confirmed, close } = open(target, options, onMessage, outcome.hooks)
    const subscribed = confirmed.then(() => {
      outcome.confirm()
      return createSubscription(topic, close, outcome.closed)
    })
    return quietly(subscribed)
  }

  /** @throws {PubSubError} BAD_SETTING */
  function messages(target, options) {
    return createMessages((onMessage, hooks) => open(target, options, onMessage, hooks), options?.limit)
  }

  /** See `openSubscription()`, which has the same parameters and result. */
  function open(target, options, onMessage, hooks) {
    const { path } = target
    const signal = options?.signal
    const topic = topicOf(path, options)
    if (signal?.aborted) return { topic, confirmed: Promise.reject(aborted(signal, topic)), close: async () => {} }
    const what = { path, topic, qos: qosOf(options), signal }
    const newsOf = options?.pubStates && createNewsFilter()
    const read = (text, isState, connection) => {
      if (!newsOf) return onMessage(target.read(text))
      const news = newsOf(text, isState, connection)
      if (news !== undefined) onMessage(target.read(news), { isState })
    }
    const onText = (...message) => {
      try {
        read(...message)
      } catch (cause) {
        if (!hooks.onError) throw cause
        hooks.onError(new PubSubError('CALLBACK', { topic, detail: String(cause?.message ?? cause), cause }))
      }
    }
    return openSubscription(entryOf(target, options), what, onText, hooks)
  }

  /** Ends the subscriptions of a resource, or those that were made with `onMessage`. */
  function unsubscribe({ scope, path }, onMessage) {
    const made = byScope.get(scope)
    // One that has closed for lack of use had no subscription left.
    if (!made) return quietly(Promise.reject(new PubSubError('NOT_SUBSCRIBED', { topic: path })))
    const isMeant = (subscription) => subscription.path === path && (!onMessage || subscription.onMessage === onMessage)
    const entries = [...made.values()]
    for (const { connection, subscriptions } of entries) {
      connection?.mute(isMeant)
      for (const subscription of subscriptions) if (isMeant(subscription)) subscription.end()
    }
    const all = entries.map((entry) => call(entry, (connection) => connection.unsubscribe(path, isMeant)))
    return quietly(ofTopic(path, Promise.all(all)).then(() => {}))
  }

  /** @throws {PubSubError} NO_PAYLOAD */
  function publish(target, payload, options) {
    if (payload === undefined || payload === null) throw new PubSubError('NO_PAYLOAD')
    const signal = options?.signal
    const { path } = target
    let text
    try {
      text = messageFor(path, target.write(payload))
    } catch (error) {
      return Promise.reject(error)
    }
    const publishOn = async (connection) => {
      if (signal?.aborted) throw aborted(signal, path)
      await connection.publish(path, text, qosOf(options), signal)
    }
    const start = async () => call(entryOf(target, options), publishOn)
    return quietly(abortable(signal, path, () => ofTopic(path, start())))
  }

  /** Calls with the connection when it is ready. It is in use until that has settled. */
  async function call(entry, start) {
    entry.calls++
    try {
      await start(await entry.ready)
    } finally {
      entry.calls--
      entry.release()
    }
  }

  /** The connection for a call, made if there is none yet. */
  function entryOf(target, options) {
    const effective = { ...settings, ...target.own }
    const key = options?.authorization ?? target.key ?? ''
    const address = options?.apiUrl || effective.apiUrl
    const transport = options?.transport ?? effective.transport
    const name = JSON.stringify([address, key, transport])
    const made = byScope.get(target.scope) ?? new Map()
    byScope.set(target.scope, made)
    if (made.has(name)) return made.get(name)
    const entry = { subscriptions: new Set(), calls: 0, release }
    const forget = (error) => {
      if (made.get(name) === entry) made.delete(name)
      if (made.size === 0) scopes.delete(made)
      endAll(entry, error)
    }
    let isReleased = false
    /** Ends what nothing uses and has no socket: it was never opened, or the sockets of its topics are closed. */
    function release() {
      const isIdle = entry.connection?.states.every((state) => state === 'idle')
      if (isReleased || !isIdle || entry.subscriptions.size || entry.calls) return
      isReleased = true
      forget()
      entry.connection.close()
    }
    made.set(name, entry)
    scopes.add(made)
    entry.ready = connect(target, { address, key, transport, settings: effective }, (event, bridge) => {
      // Nothing was connected, so nothing is lost.
      if (isReleased && event.type === 'disconnected') return
      if (event.type === 'unused') return release()
      if (event.type === 'connected') entry.wasConnected = true
      if (event.type === 'disconnected' && event.retryInMs === undefined) {
        // What had a socket of its own is lost with it, and nothing else.
        if (bridge) endAll(entry, event.error, bridge)
        else forget(event.error)
      }
      const isHandled = event.type === 'error' && (reportLoss(entry, event.error, bridge) || handled.has(bridge ?? entry))
      emit(entry, target.scope, event, isHandled)
    })
    entry.ready.then((connection) => (entry.connection = connection), forget)
    return entry
  }

  async function connect(target, { address, transport, ...about }, onEvent) {
    check('transport', transport)
    return makeConnection(transport, { ...about, address: address || (await target.findServer()), platform, emit: onEvent })
  }

  /**
   * Tells the subscriptions of a topic that they were not restored: a caller that waits for messages learns of it only by
   * this. The next connection asks for them again. Returns whether one has an `onError`.
   */
  function reportLoss({ subscriptions }, error, bridge) {
    if (HARMLESS.includes(error.code)) return false
    const isLost = (it) => it.isConfirmed && it.bridge === bridge && it.topic === error.topic
    const lost = [...subscriptions].filter(isLost)
    for (const subscription of lost) subscription.onLoss?.(error)
    return lost.some(({ isObserved }) => isObserved)
  }

  /** Ends the subscriptions of a connection, or of one of its sockets. */
  function endAll(entry, error, bridge) {
    const ended = [...entry.subscriptions].filter((subscription) => !bridge || subscription.bridge === bridge)
    if (ended.some(({ isObserved }) => isObserved)) handled.add(bridge ?? entry)
    for (const subscription of ended) subscription.end(error)
  }

  function emit(entry, scope, event, isHandled) {
    // Not shown when an event is printed: a scope of evrythng.js shows its key.
    Object.defineProperty(event, 'scope', { value: scope })
    const heard = [listeners, ofScope.get(scope)].map((each) => each?.emit(event)).includes(true)
    if (heard) return
    // An error without a listener, a promise and an `onError` must not be lost.
    if (event.type === 'error' && !isHandled) console.error(event.error)
    // Nor may it be silent that calls wait for a server that may never have been there.
    if (event.type === 'disconnected' && event.retryInMs !== undefined && !entry.wasConnected && !entry.isReported) {
      entry.isReported = true
      console.warn(event.error)
    }
  }

  /** Listens to the connections of a scope. */
  function onScope(scope, type, listener) {
    if (!ofScope.has(scope)) ofScope.set(scope, createListeners())
    return ofScope.get(scope).on(type, listener)
  }

  /** The state of a scope's connections; of several the worst. */
  function stateOf(scope) {
    const entries = [...(byScope.get(scope)?.values() ?? [])]
    const states = entries.flatMap(({ connection }) => (connection ? connection.states : ['connecting']))
    return ['disconnected', 'connecting', 'connected'].find((state) => states.includes(state)) ?? 'idle'
  }

  async function closeAll(entries) {
    const outcomes = await Promise.allSettled(entries.map(({ ready }) => ready))
    for (const { value } of outcomes) value?.close()
  }

  return {
    settings,
    setup: (changes) => change(settings, changes),
    on: listeners.on,
    off: listeners.off,
    close: () => closeAll([...scopes].flatMap((made) => [...made.values()])),
    onScope,
    stateOf,
    closeScope: (scope) => closeAll([...(byScope.get(scope)?.values() ?? [])]),
    subscribe,
    messages,
    unsubscribe,
    publish
  }
}

/** The topic of a resource with its options. */
function topicOf(path, options) {
  const query = []
  if (options?.pubStates) query.push('pubStates=1', 'markStates=1')
  if (options?.project) query.push(`project=${encodeURIComponent(options.project)}`)
  return path + (query.length ? `?${query.join('&')}` : '')
}

/** The outcome of a call about a topic; its error names the topic, also where the connection has failed. */
const ofTopic = (topic, outcome) =>
  outcome.catch((error) => {
    throw withTopic(error, topic)
  })

const qosOf = (options) => (options?.qos ? 1 : 0)
