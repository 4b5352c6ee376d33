/**
 * The standalone API: scopes, which have an API key, and their resources, which are what the paths of REST name.
 */
import { quietly } from './abort.js'
import { PubSubError } from './errors.js'
import { filter } from './filter.js'
import { findHome } from './home.js'
import { allOf, pagesOf, totalOf } from './lists.js'
import { disposable } from './messages.js'
import { bodyFor } from './payload.js'
import { request } from './rest.js'
import { change } from './settings.js'
import { restUrl } from './url.js'

/** Items on the largest page. */
const PAGE_MAX = 100

/** The owners of keys. The SDK treats them alike; the server knows the rights of each. */
const SCOPES = ['Operator', 'Application', 'TrustedApplication', 'User', 'Device', 'AccessToken']

/**
 * The class of each scope, and the helper for filters of lists.
 *
 * @param {object} connections - See `connections.js`.
 */
export function createScopes(connections) {
  const classes = SCOPES.map((name) => {
    const named = {
      [name]: class extends Scope {
        constructor(apiKey, options) {
          super(connections, apiKey, options)
        }
      }
    }
    return [name, named[name]]
  })
  return { ...Object.fromEntries(classes), filter }
}

/**
 * Where scopes and resources have what they need: a function, so that nothing that prints or copies an object finds the
 * key. It is no private field, because frameworks such as Vue put proxies before objects, and a proxy has none.
 */
const CONTEXT = Symbol('context')
const READ_PATH = Symbol('readPath')

const hide = (object, context) => Object.defineProperty(object, CONTEXT, { value: () => context })

/** What an API key gives access to. */
class Scope {
  /**
   * @param {object} connections
   * @param {string} apiKey
   * @param {object} [options] - Settings of this scope, which win over those of `setup()`.
   * @throws {PubSubError} BAD_SETTING
   */
  constructor(connections, apiKey, options = {}) {
    const given = Object.entries(options).filter(([, value]) => value !== undefined && value !== null)
    const own = change({}, Object.fromEntries(given))
    hide(this, { connections, scope: this, key: checkedKey('apiKey', apiKey), own })
  }

  get apiKey() {
    return this[CONTEXT]().key
  }

  get state() {
    const { connections, scope } = this[CONTEXT]()
    return connections.stateOf(scope)
  }

  on(type, listener) {
    const { connections, scope } = this[CONTEXT]()
    return connections.onScope(scope, type, listener)
  }

  close() {
    const { connections, scope } = this[CONTEXT]()
    return connections.closeScope(scope)
  }

  thng(id) {
    return resourceOf(this, Thng, '/thngs', id)
  }

  product(id) {
    return resourceOf(this, Product, '/products', id)
  }

  collection(id) {
    return resourceOf(this, Collection, '/collections', id)
  }

  batch(id) {
    return resourceOf(this, Batch, '/batches', id)
  }

  action(type = 'all', id) {
    return new Resource(this[CONTEXT](), `/actions${segment(type)}${segment(id)}`)
  }

  actionType(name) {
    return new ActionType(this[CONTEXT](), '/actions', name)
  }
}

disposable(Scope.prototype, function () {
  return this.close()
})

/** A resource of a scope, or the list of all of its kind, in which nothing is nested. */
function resourceOf(scope, Kind, path, id) {
  return new (isGiven(id) ? Kind : Resource)(scope[CONTEXT](), path + segment(id))
}

class Resource {
  constructor(context, path) {
    hide(this, context)
    this.path = path
  }

  subscribe(onMessage, options) {
    return this[CONTEXT]().connections.subscribe(targetOf(this), onMessage, options)
  }

  messages(options) {
    return this[CONTEXT]().connections.messages(targetOf(this), options)
  }

  unsubscribe(onMessage) {
    return this[CONTEXT]().connections.unsubscribe(targetOf(this), onMessage)
  }

  publish(payload, options) {
    return this[CONTEXT]().connections.publish(targetOf(this), payload, options)
  }

  create(document, options) {
    return this.request('POST', this.path, options, document)
  }

  read(options) {
    return this.request('GET', this[READ_PATH], options)
  }

  /** The pages of a list, as an asynchronous iterator. */
  pages(options) {
    return pagesOf((query) => requestOf(this[CONTEXT](), 'GET', this[READ_PATH], { ...options, query }))
  }

  /** The items of all pages, or the first `limit`. */
  all(options) {
    const params = { perPage: PAGE_MAX, ...options?.params }
    return quietly(allOf(this.pages({ ...options, params }), options?.limit))
  }

  /** How many items the list has. */
  total(options) {
    const params = { ...options?.params, perPage: 1, withTotalCount: true }
    const answer = requestOf(this[CONTEXT](), 'GET', this[READ_PATH], { ...options, params })
    return quietly(answer.then(({ headers }) => totalOf(headers)))
  }

  /** Where it is read: at its path as a rule. */
  get [READ_PATH]() {
    return this.path
  }

  update(document, options) {
    if (!isGiven(document)) throw new PubSubError('NO_PAYLOAD', { detail: 'update' })
    return this.request('PUT', this.path, options, document)
  }

  delete(options) {
    return this.request('DELETE', this.path, options)
  }

  /** A request to the REST API, as the methods before make them. */
  request(method, path, options, document) {
    return quietly(requestOf(this[CONTEXT](), method, path, options, document).then((answer) => answer.document))
  }

  /** A resource below this one. */
  nested(Kind, path) {
    return new Kind(this[CONTEXT](), this.path + path)
  }
}

async function requestOf({ connections, key, own }, method, path, options, document) {
  const settings = { ...connections.settings, ...own }
  const base = restUrl(settings.restUrl || settings.apiUrl || findHome())
  const body = isGiven(document) ? bodyFor(path, document) : undefined
  const { params, query, signal } = options ?? {}
  const authorization = checkedKey('authorization', options?.authorization ?? key)
  return request(base, authorization, method, path, { body, params, query, signal, timeoutMs: settings.answerTimeout })
}

/** What a call is about; see `connections.js`. */
function targetOf(resource) {
  const { scope, key, own, connections } = resource[CONTEXT]()
  return {
    path: resource.path,
    scope,
    key,
    own,
    // The broker is beside the REST API.
    findServer: () => own.restUrl || connections.settings.restUrl || findHome(),
    read: documentOf,
    write: (payload) => payload
  }
}

/** What actions can happen to. */
class Subject extends Resource {
  action(type = 'all', id) {
    return this.nested(Resource, `/actions${segment(type)}${segment(id)}`)
  }
}

class Product extends Subject {
  property(key) {
    return this.nested(Resource, `/properties${segment(key)}`)
  }
}

class Thng extends Product {
  location() {
    return this.nested(Resource, '/location')
  }
}

class Collection extends Subject {
  thng(id) {
    return this.nested(Resource, `/thngs${segment(id)}`)
  }
}

class Batch extends Resource {
  task(id) {
    return this.nested(Resource, `/tasks${segment(id)}`)
  }
}

/** Action types, or one of them. On its path are its actions, so it is read and made elsewhere. */
class ActionType extends Resource {
  constructor(context, path, name) {
    super({ ...context, name }, path + segment(name))
  }

  create(document, options) {
    const { name } = this[CONTEXT]()
    return this.request('POST', '/actions', options, isGiven(name) ? { name, ...document } : document)
  }

  get [READ_PATH]() {
    return `/actionTypes${segment(this[CONTEXT]().name)}`
  }
}

const isGiven = (value) => value !== undefined && value !== null

/** An id, a key or a name as a part of a path; nothing for none. */
function segment(name) {
  if (!isGiven(name)) return ''
  const text = String(name)
  try {
    // A URL takes these for steps to another resource, however they are written.
    if (!['', '.', '..'].includes(text)) return `/${encodeURIComponent(text)}`
  } catch {
    // It has half of a surrogate pair.
  }
  throw new PubSubError('INVALID_TOPIC', { topic: text, detail: 'it is no id, key or name' })
}

/** The error of a header names its value, so what no header can have does not get that far. */
function checkedKey(name, key) {
  if (typeof key === 'string' && /^[\x21-\x7e]+$/.test(key)) return key
  throw new PubSubError('BAD_SETTING', { detail: `${name} must be an API key: letters and digits` })
}

function documentOf(text) {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
