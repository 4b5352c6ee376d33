/**
 * Live updates for evrythng.js: `publish()`, `subscribe()` and `unsubscribe()` on its resources.
 *
 * ```js
 * const evrythng = require('evrythng')
 * const PubSub = require('thng-pubsub')
 *
 * evrythng.use(PubSub)
 * ```
 */
declare namespace PubSub {
  /**
   * What a connection is made with. A change reaches the connections that are made after it.
   * All times are in milliseconds, except `keepAlive`.
   */
  interface Settings {
    /**
     * Where the server is: `ws://` or `wss://` with the broker's path, or the `http://` or `https://` address of the
     * REST API, beside which the broker is at `/mqtt`. Empty, which is the default, it is the address that
     * evrythng.js sends its requests to.
     */
    apiUrl: string
    /** Seconds without traffic after which the server is asked for a sign of life. Default 50; 0 turns it off. */
    keepAlive: number
    /**
     * The upper bound of the delay before the first attempt to reconnect. It doubles with every further attempt, and
     * the delay is drawn from below it. Default 1000.
     */
    reconnectPeriod: number
    /** The bound beyond which it doubles no further. Default 30000. */
    reconnectPeriodMax: number
    /** How long opening a connection may take. Default 30000. */
    connectTimeout: number
    /** How long the server may owe an acknowledgement. Default 30000. */
    answerTimeout: number
    /** How many publishes may wait for a connection. Default 1000. */
    queueLimit: number
    /** What the name of every connection begins with, towards the server. Default `thng-pubsub`. */
    clientIdPrefix: string
    /**
     * The WebSocket class to use instead of the browser's, or of the `ws` package in Node.js.
     * It is called with the address and the list of sub-protocols.
     */
    WebSocket?: new (url: string, protocols: string[]) => unknown
  }

  /** Options of `subscribe()` and `publish()` that say where, and as whom. */
  interface ConnectionOptions {
    /** Another server for this call; see {@link Settings.apiUrl}. */
    apiUrl?: string
    /** Another API key for this call than that of the resource's scope. */
    authorization?: string
    /**
     * 0: sent once (the default). 1: until the server has acknowledged it; the promise waits for that, and rejects
     * if it is refused. A message may then arrive more than once.
     */
    qos?: 0 | 1
  }

  interface SubscribeOptions extends ConnectionOptions {
    /** Whether the current value is sent first, now and after every reconnection. */
    pubStates?: boolean
    /** The id of the project to which the subscription is confined. */
    project?: string
  }

  /** A value of a property, as it arrives at the callback of a subscription. */
  interface PropertyUpdate<Value = unknown> {
    /** The name of the property. */
    key?: string
    value: Value
    /** When the value was valid, in milliseconds since 1970. */
    timestamp: number
    /** When it arrived at the server, in milliseconds since 1970. */
    createdAt?: number
  }

  /**
   * What `evrythng.use(PubSub)` adds to every resource of evrythng.js. On which resources the server serves it is the
   * server's to say: it refuses a subscription to anything else with `SUBSCRIBE_REFUSED`.
   *
   * `Message` is what arrives, which on properties is a list of {@link PropertyUpdate}.
   */
  interface Resource<Message = PropertyUpdate[]> {
    /**
     * Calls back with every update of the resource, whichever way it was made.
     *
     * The promise resolves when the server has confirmed it. Updates arrive again after a connection was lost and made
     * again; those in between are not made up for.
     *
     * @throws {PubSubError} `NO_CALLBACK`
     */
    subscribe(onMessage: (message: Message) => void, options?: SubscribeOptions): Promise<void>
    /**
     * Ends the subscriptions of the resource, or the one of this callback. None is called any more from here on; the
     * promise resolves when the server has confirmed it.
     */
    unsubscribe(onMessage?: (message: Message) => void): Promise<void>
    /**
     * Updates the resource. On properties the payload is what `update()` takes: `5`, `{ value: 5 }`, a list of
     * values, or an object with an entry for each property.
     *
     * At QoS 0 the promise resolves when the message has been sent, whatever becomes of it; use `{ qos: 1 }` to know.
     *
     * @throws {PubSubError} `NO_PAYLOAD`
     */
    publish(payload: unknown, options?: ConnectionOptions): Promise<void>
  }

  /** Stable names of what can go wrong; the README has a table of them. */
  type ErrorCode =
    | 'UNAUTHORIZED'
    | 'CONNECT_REFUSED'
    | 'SERVER_UNAVAILABLE'
    | 'HANDSHAKE'
    | 'TIMEOUT'
    | 'CONNECTION_LOST'
    | 'PROTOCOL'
    | 'CLOSED'
    | 'SUBSCRIBE_REFUSED'
    | 'PUBLISH_REFUSED'
    | 'QUEUE_FULL'
    | 'UNSUBSCRIBED'
    | 'NOT_SUBSCRIBED'
    | 'INVALID_TOPIC'
    | 'NO_CALLBACK'
    | 'NO_PAYLOAD'
    | 'NO_URL'
    | 'BAD_URL'
    | 'BAD_SETTING'
    | 'CALLBACK'
    | 'WASM_BLOCKED'
    | 'ENGINE_FAILED'

  /** Every error of this package. */
  class PubSubError extends Error {
    private constructor()
    readonly name: 'PubSubError'
    /** What kind of error it is. */
    readonly code: ErrorCode
    /** The topic that it is about, if it is about one. */
    readonly topic?: string
    /** The error that it came from, if it came from one. */
    readonly cause?: unknown
  }

  interface ConnectionEvent {
    /** The address of the broker. */
    readonly url: string
  }

  interface Events {
    /** A connection is being opened. */
    connecting: ConnectionEvent & { readonly type: 'connecting' }
    /** The server has let the connection in. Subscriptions are being made again. */
    connected: ConnectionEvent & { readonly type: 'connected' }
    /** A connection is gone, or could not be made. */
    disconnected: ConnectionEvent & {
      readonly type: 'disconnected'
      /** Why. */
      readonly error: PubSubError
      /** In how many milliseconds it is tried again; undefined if it is not. */
      readonly retryInMs?: number
    }
    /**
     * Something went wrong that no promise can tell of: a callback threw, a key was revoked, a subscription was refused
     * when it was made again. Without a listener it is written to the console.
     */
    error: ConnectionEvent & { readonly type: 'error'; readonly error: PubSubError }
  }

  /** The settings in force. Change them with {@link setup}. */
  const settings: Settings

  /**
   * Changes settings, for the connections that are made from now on.
   *
   * @throws {PubSubError} `BAD_SETTING`
   */
  function setup(settings: Partial<Settings>): Settings

  /** Called by `evrythng.use(PubSub)`. */
  function install(api: unknown, resource?: unknown): void

  /** Calls back when something happens to a connection. */
  function on<Type extends keyof Events>(type: Type, listener: (event: Events[Type]) => void): void

  /** Takes a listener back. */
  function off<Type extends keyof Events>(type: Type, listener: (event: Events[Type]) => void): void

  /**
   * Closes every connection, after which a Node.js program can end. What still waits is rejected with `CLOSED`.
   * The next call opens a new connection.
   */
  function close(): Promise<void>
}

export = PubSub
