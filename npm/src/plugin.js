/**
 * The plugin of evrythng.js: puts the methods on its resources.
 *
 * @param {object} connections - See `connections.js`.
 */
export function createPlugin(connections) {
  /** Adds the methods to every resource. evrythng.js calls it; programs call `evrythng.use(PubSub)`. */
  function install(api, legacyResource) {
    // Version 4 injects what `$inject` names, later ones give one object.
    const Resource = legacyResource ?? api.resources.Resource
    const restUrl = legacyResource ? () => api.settings.apiUrl : () => undefined
    Object.assign(Resource.prototype, methods(restUrl))
  }

  function methods(restUrl) {
    const targetOf = (resource) => ({
      path: resource.path,
      scope: resource.scope,
      key: resource.scope.apiKey,
      findServer: () => restUrl() || restUrlOf(resource),
      read: (text) => documentOf(resource, text),
      write: (payload) => toJSON(resource, payload)
    })
    return {
      subscribe(onMessage, options) {
        return connections.subscribe(targetOf(this), onMessage, options)
      },
      messages(options) {
        return connections.messages(targetOf(this), options)
      },
      unsubscribe(onMessage) {
        return connections.unsubscribe(targetOf(this), onMessage)
      },
      publish(payload, options) {
        return connections.publish(targetOf(this), payload, options)
      }
    }
  }

  return { $inject: ['core', 'resource'], install }
}

/** What a message becomes for a callback: the entities of the resource where it is JSON, else its text. */
function documentOf(resource, text) {
  try {
    // The name in evrythng.js since version 5, and before.
    const parse = resource.deserialize ?? resource.parse
    return parse.call(resource, JSON.parse(text))
  } catch {
    return text
  }
}

/** An entity as its plain document. */
function toJSON(resource, payload) {
  const serialize = resource.serialize ?? resource.jsonify
  return typeof payload === 'object' && serialize ? serialize.call(resource, payload) : payload
}

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
