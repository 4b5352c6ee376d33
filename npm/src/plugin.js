import { Connection } from './connection.js'
import { PubSubError } from './errors.js'
import { documentOf, messageOf } from './payload.js'
import { change, defaults } from './settings.js'
import { brokerUrl } from './url.js'

/** What a connection can tell of itself. */
const EVENTS = ['connecting', 'connected', 'disconnected', 'error']

/**
 * Makes the plugin for one kind of platform.
 *
 * It installs the three methods on the resources of evrythng.js, owns the settings, and keeps the connections: one
 * for each scope and key, made when it is first used.
 *
 * @param {{WebSocket: () => Function}} platform
 */
export function createPubSub(platform) {
  const settings = { ...defaults }
  const listeners = new Map(EVENTS.map((type) => [type, new Set()]))
  /**
   * For each scope its connections by what tells them apart. Calls wait for `ready`, always, and so keep their order;
   * `connection` is what it has become.
   */
  const byScope = new WeakMap()
  const scopes = new Set()

  /** Adds the methods to every resource. evrythng.js calls it; programs call `evrythng.use(PubSub)`. */
  function install(api, legacyResource) {
    // Version 4 injects what `$inject` names, later ones give one object.
    const Resource = legacyResource ?? api.resources.Resource
    const restUrl = legacyResource ? () => api.settings.apiUrl : () => undefined
    Object.assign(Resource.prototype, methods(restUrl))
  }

  function methods(restUrl) {
    return {
      subscribe(onMessage, options) {
        if (typeof onMessage !== 'function') throw new PubSubError('NO_CALLBACK')
        const about = { path: this.path, onMessage }
        const onText = (text) => onMessage(documentOf(this, text))
        return connectionOf(this, options, restUrl).then((connection) =>
          connection.subscribe(topicOf(this, options), qosOf(options), about, onText)
        )
      },

      unsubscribe(onMessage) {
        const path = this.path
        const open = byScope.get(this.scope)
        if (!open?.size) return Promise.reject(new PubSubError('NOT_SUBSCRIBED', { topic: path }))
        const isMeant = (about) => about.path === path && (!onMessage || about.onMessage === onMessage)
        // Nothing is heard from here on; the rest has to come behind the calls that were made before.
        for (const { connection } of open.values()) connection?.mute(isMeant)
        const all = [...open.values()].map(({ ready }) => ready.then((connection) => connection.unsubscribe(path, isMeant)))
        return Promise.all(all).then(() => {})
      },

      publish(payload, options) {
        if (payload === undefined || payload === null) throw new PubSubError('NO_PAYLOAD')
        const message = messageOf(this, payload)
        return connectionOf(this, options, restUrl).then((connection) =>
          connection.publish(this.path, message, qosOf(options))
        )
      }
    }
  }

  /** The connection for a call, made if there is none yet. */
  function connectionOf(resource, options, restUrl) {
    const { scope } = resource
    const key = options?.authorization ?? scope.apiKey ?? ''
    const address = options?.apiUrl || settings.apiUrl
    const name = JSON.stringify([address, key])
    const open = byScope.get(scope) ?? new Map()
    byScope.set(scope, open)
    scopes.add(open)
    if (!open.has(name)) {
      const entry = {}
      const forget = () => {
        if (open.get(name) === entry) open.delete(name)
        if (open.size === 0) scopes.delete(open)
      }
      open.set(name, entry)
      entry.ready = connect(resource, address, key, restUrl, forget)
      entry.ready.then((connection) => (entry.connection = connection), forget)
    }
    return open.get(name).ready
  }

  async function connect(resource, address, key, restUrl, onEnd) {
    const url = brokerUrl(address || restUrl() || (await restUrlOf(resource)))
    const clientId = `${settings.clientIdPrefix}_${Math.random().toString(16).slice(2, 10).padEnd(8, '0')}`
    const Socket = settings.WebSocket ?? platform.WebSocket()
    const open = (to) => new Socket(to, ['mqtt'])
    return new Connection({ ...settings, clientId, key, isResumed: false }, url, open, (type, event) => {
      if (type === 'disconnected' && event.retryInMs === undefined) onEnd()
      emit({ type, url, ...event })
    })
  }

  function emit(event) {
    const hear = listeners.get(event.type)
    // An error that nobody listens to, and that no promise carries, is not to go by unseen.
    if (event.type === 'error' && hear.size === 0) console.error(event.error)
    for (const listener of [...hear]) {
      try {
        listener(event)
      } catch (error) {
        console.error(error)
      }
    }
  }

  function setOf(type) {
    const set = listeners.get(type)
    if (!set) throw new TypeError(`There is no event '${type}'; there are ${EVENTS.join(', ')}.`)
    return set
  }

  return {
    $inject: ['core', 'resource'],
    install,
    settings,
    setup: (changes) => change(settings, changes),
    on: (type, listener) => void setOf(type).add(listener),
    off: (type, listener) => void setOf(type).delete(listener),
    async close() {
      const open = [...scopes].flatMap((connections) => [...connections.values()])
      const made = await Promise.allSettled(open.map(({ ready }) => ready))
      for (const { value } of made) value?.close()
    },
    PubSubError
  }
}

/** The topic of a resource with its options. */
function topicOf(resource, options) {
  const query = []
  if (options?.pubStates) query.push('pubStates=1')
  if (options?.project) query.push(`project=${encodeURIComponent(options.project)}`)
  return resource.path + (query.length ? `?${query.join('&')}` : '')
}

const qosOf = (options) => (options?.qos ? 1 : 0)

/**
 * Where evrythng.js (5 and later) sends the REST requests of a resource.
 *
 * It gives plugins no way to its settings. But an interceptor sees the options of a request before it is made, and
 * may cancel it: so this asks for one, looks, and cancels.
 */
async function restUrlOf(resource) {
  let apiUrl = ''
  const look = {
    request(options, cancel) {
      apiUrl = options.apiUrl
      cancel()
    }
  }
  try {
    const Resource = Object.getPrototypeOf(resource).constructor
    await new Resource(resource.scope, '/').read({ interceptors: [look] })
  } catch {
    // It was cancelled.
  }
  return apiUrl
}
