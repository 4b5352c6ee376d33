/**
 * Live updates of thngs, products and collections: over REST and messages with an API key alone, or as a plugin of
 * evrythng.js.
 *
 * ```js
 * const { Operator } = require('thng-pubsub')
 *
 * const operator = new Operator(API_KEY, { apiUrl: 'https://example.com' })
 * for await (const [update] of operator.thng(ID).property('temperature').messages()) console.log(update.value)
 * ```
 */
declare namespace PubSub {
  // Settings and options.

  /**
   * What a connection is made with. A change reaches the connections that are made after it.
   * All times are in milliseconds, except `keepAlive`.
   */
  interface Settings {
    /**
     * Where the server is: `ws://` or `wss://` with the broker's path, `mqtt://` or `mqtts://` (Node.js only), or the
     * `http://` or `https://` address of the REST API. The broker is then at `/mqtt`. Empty, which is the default, it is
     * where the REST API is: with the plugin, the address that evrythng.js uses. Otherwise it is {@link restUrl}, the
     * server whose `/sdk/` served the script, or the server of the page.
     */
    apiUrl: string
    /**
     * Where the REST API is, with or without its version; for standalone scopes. Empty, which is the default, it is
     * beside the broker of {@link apiUrl}, at the server whose `/sdk/` the script was loaded from, or where the page came
     * from.
     */
    restUrl: string
    /** How messages travel. Default `mqtt`. */
    transport: Transport
    /** Seconds without traffic after which the server is asked for a sign of life. Default 50; 0 turns it off. */
    keepAlive: number
    /**
     * The upper bound of the delay before the first attempt to reconnect. It doubles with every further attempt, and
     * the delay is drawn from below it. Default 1000.
     */
    reconnectPeriod: number
    /** The bound beyond which it doubles no further. Default 30000. */
    reconnectPeriodMax: number
    /**
     * Whether a first connection that cannot be made is tried again, as later ones are, and calls wait for it. If false,
     * they reject. Default true. Browsers do not say whether a native WebSocket was refused or lost: there, it is false.
     */
    retryFirstConnection: boolean
    /** How long opening a connection may take. Default 30000. */
    connectTimeout: number
    /** How long an acknowledgement, or the answer to a REST request, may take. Default 30000. */
    answerTimeout: number
    /** How long a connection stays open without a subscription or a call. Default 30000; 0 keeps it open. */
    idleTimeout: number
    /** How many publishes may wait for a connection, or for a network that does not take 256 KiB. Default 1000. */
    queueLimit: number
    /** What the name of every connection begins with, towards the server. Default `thng-pubsub`. */
    clientIdPrefix: string
    /**
     * Writes what happens to the console, or calls a function with each line: addresses, topics, sizes and codes, without
     * keys and payloads. Default false.
     */
    debug: boolean | ((line: string) => void)
    /**
     * The WebSocket class to use instead of the browser's, or of the `ws` package in Node.js.
     * It is called with the address and the list of sub-protocols; with the transport `websocket` with the address
     * alone, in which the API key is, also in Node.js.
     */
    WebSocket?: new (url: string, protocols?: string[]) => unknown
    /**
     * In Node.js, options of `tls.connect()` for `wss://` and `mqtts://`: `ca`, `cert`, `key`, `servername`,
     * `rejectUnauthorized`. REST requests do not have them.
     */
    tls?: object
  }

  /** One MQTT connection for all topics, or a native WebSocket for each. */
  type Transport = 'mqtt' | 'websocket'

  /** An `AbortSignal`. */
  interface Signal {
    readonly aborted: boolean
    readonly reason: any
    addEventListener(type: 'abort', listener: () => void): void
    removeEventListener(type: 'abort', listener: () => void): void
  }

  /** Options of `subscribe()`, `messages()` and `publish()` that say where, as whom, and for how long. */
  interface ConnectionOptions {
    /** Another server for this call; see {@link Settings.apiUrl}. */
    apiUrl?: string
    /** Another API key for this call than that of the resource's scope. */
    authorization?: string
    /** Another transport for this call. */
    transport?: Transport
    /**
     * 0: sent once (the default). 1: until the server has acknowledged it; the promise waits for that, and rejects
     * with `PUBLISH_REFUSED` and the sentences of the server if it is refused. A message may then arrive more than once. Only with the transport `mqtt`.
     */
    qos?: 0 | 1
    /**
     * Ends the call: its promise rejects with `ABORTED`, a subscription is taken back. What was sent before that may
     * still be stored.
     */
    signal?: Signal
  }

  interface SubscribeOptions extends ConnectionOptions {
    /**
     * Whether the current value is sent first, now and after every reconnection. It is marked as a state; of several
     * properties those are left out of which a newer value has arrived.
     */
    pubStates?: boolean
    /** The id of the project to which the subscription is confined. */
    project?: string
  }

  interface CallbackOptions extends SubscribeOptions {
    /**
     * Called with what no promise reports, which is then not logged: the subscription was refused when it was restored, its
     * connection ended for good, or its callback threw.
     */
    onError?: (error: PubSubError) => void
  }

  interface MessagesOptions extends SubscribeOptions {
    /** How many messages may wait to be taken. Default 1000. */
    limit?: number
  }

  /** Options of a REST request. */
  interface RequestOptions {
    /** The query of the address. */
    params?: Params
    /** Another API key for this request than that of the scope. */
    authorization?: string
    /** Ends the request: its promise rejects with `ABORTED`. */
    signal?: Signal
  }

  /** Parameters of a request; those that are undefined are left out, and others than these are sent, too. */
  interface Params {
    /** Items on a page, 1 to 100. */
    perPage?: number
    sortOrder?: 'ASCENDING' | 'DESCENDING'
    filter?: string
    /** The id of a project. */
    project?: string
    /** Only these. */
    ids?: readonly string[] | string
    withScopes?: boolean
    [name: string]: unknown
  }

  // Documents. Times are in milliseconds since 1970.

  /** What the documents of the server have in common. */
  interface Document {
    id: string
    createdAt: number
    updatedAt?: number
    tags: string[]
    customFields: Record<string, unknown>
    identifiers: Record<string, string>
    /** Who sees it; with the parameter `withScopes`. */
    scopes?: { projects?: string[]; users?: string[] }
  }

  /** The fields of a document that can be written. `null` takes one away. */
  type Write<Doc, Fields extends keyof Doc> = { [Field in Fields]?: Doc[Field] | null } & {
    tags?: string[] | null
    customFields?: Record<string, unknown> | null
    identifiers?: Record<string, string> | null
    scopes?: { projects?: string[]; users?: string[] } | null
  }

  interface Thng extends Document {
    name: string
    description?: string
    type?: string
    /** The id of its product. */
    product?: string
    /** The ids of the collections that it is in. */
    collections?: string[]
    /** The latest value of each property. Not in messages. */
    properties?: Record<string, unknown>
    /** The latest location. Not in messages. */
    location?: LocationUpdate
    batch?: string
    createdByTask?: string
  }

  type ThngUpdate = Write<Thng, 'name' | 'description' | 'type' | 'product'>

  interface NewThng extends Write<Thng, 'description' | 'type' | 'product'> {
    name: string
    properties?: Record<string, unknown>
    location?: LocationWrite
    collections?: string[]
  }

  interface Product extends Document {
    name: string
    /** The name again. */
    fn?: string
    description?: string
    type?: string
    brand?: string
    categories?: string[]
    photos?: string[]
    url?: string
    /** The latest value of each property. Not in messages. */
    properties?: Record<string, unknown>
  }

  type ProductUpdate = Write<Product, 'name' | 'description' | 'type' | 'brand' | 'categories' | 'photos' | 'url'>

  interface NewProduct extends Write<Product, 'description' | 'type' | 'brand' | 'categories' | 'photos' | 'url'> {
    name: string
    properties?: Record<string, unknown>
  }

  interface Collection extends Document {
    name: string
    description?: string
    type?: string
    /** The ids of the collections that it is in. */
    collections?: string[]
  }

  type CollectionUpdate = Write<Collection, 'name' | 'description' | 'type'>

  interface NewCollection extends Write<Collection, 'description' | 'type'> {
    name: string
    collections?: string[]
  }

  /** Which thngs were added to a collection, or taken out of it. */
  interface MembershipChange {
    /** The last when all were taken out at once is `thngsCleared`. */
    operation: 'thngsAdded' | 'thngsRemoved' | 'thngsCleared'
    timestamp: number
    /** The ids of the thngs. */
    resources: string[]
  }

  /** A value of a property, as it was stored. */
  interface PropertyValue<Value = unknown> {
    value: Value
    /** When the value was valid. */
    timestamp: number
    /** When it arrived at the server. */
    createdAt: number
  }

  /** A value of a property, as it arrives at a subscription: in a list of what one update has stored. */
  interface PropertyUpdate<Value = unknown, Key extends string = string> extends PropertyValue<Value> {
    /** The name of the property, in lower case. */
    key: Key
  }

  /** What arrives of properties whose values have these types. Their names arrive in lower case. */
  type PropertyUpdateOf<Values> = {
    [Key in keyof Values & string]: PropertyUpdate<Values[Key], Lowercase<Key>>
  }[keyof Values & string]

  /** A value that is to be stored. */
  interface PropertyWrite<Value = unknown> {
    value: Value
    /** When it was so; the moment of arrival, if it is left out. */
    timestamp?: number
  }

  /** The same for one of several properties. */
  interface KeyedPropertyWrite extends PropertyWrite {
    key: string
  }

  interface LocationUpdate {
    latitude: number
    longitude: number
    position: { type: 'Point'; coordinates: number[] }
    /** The id of a place. */
    place?: string
    timestamp: number
    createdAt: number
  }

  /** A location that is to be stored, said in one of three ways. */
  type LocationWrite = { timestamp?: number } & (
    | { position: { type: 'Point'; coordinates: number[] } }
    | { latitude: number; longitude: number }
    | { place: string }
  )

  interface Action extends Document {
    /** The name of its action type. */
    type: string
    timestamp: number
    thng?: string
    product?: string
    collection?: string
    user?: string
    createdByThng?: string
    createdByApp?: string
    createdByProject?: string
    location?: Partial<LocationUpdate>
    locationSource: 'sensor' | 'geoIp' | 'place' | 'unknown'
    url?: string
    reactions?: unknown[]
    /** How it came about; with the parameter `context`. */
    context?: Record<string, unknown>
    name?: undefined
  }

  /** An action that is to be created. The path may say its type and what it happened to. */
  interface NewAction extends Write<Action, 'type' | 'thng' | 'product' | 'collection' | 'timestamp' | 'url'> {
    location?: LocationWrite
  }

  interface ActionType extends Omit<Document, 'identifiers'> {
    /** Begins with `_`, unless it is built in. */
    name: string
    description?: string
    type?: undefined
  }

  interface ActionTypeUpdate {
    description?: string | null
    tags?: string[] | null
    customFields?: Record<string, unknown> | null
    scopes?: { projects?: string[]; users?: string[] } | null
  }

  interface NewActionType extends ActionTypeUpdate {
    name: string
  }

  interface Batch extends Document {
    name: string
    description?: string
    status?: 'EMPTY' | 'IN_PROGRESS' | 'COMPLETE'
    resourceCountsByProduct?: Record<string, unknown>
  }

  type BatchUpdate = Write<Batch, 'name' | 'description'>

  interface NewBatch extends Write<Batch, 'description'> {
    name: string
  }

  interface Task {
    id: string
    batch: string
    type: 'POPULATING'
    status: 'PENDING' | 'EXECUTING' | 'EXECUTED' | 'EXECUTED_WITH_FAILURES' | 'FAILED'
    createdAt: number
    updatedAt?: number
    completedAt?: number
    /** What it has made so far. */
    progress?: Record<string, unknown>
    /** What it made in the end. */
    result?: Record<string, unknown>
    /** What it is to make. Not in messages. */
    inputParameters?: Record<string, unknown>
  }

  interface NewTask {
    type: 'POPULATING'
    inputParameters: Record<string, unknown>
  }

  // What can be done with a resource.

  /** A subscription that was confirmed. */
  interface Subscription {
    /** The topic, with its options. */
    readonly topic: string
    /**
     * Ends it, and no other of the same resource. No callback is called from here on; resolves when the server has
     * confirmed it. A second call has no further effect.
     */
    close(): Promise<void>
    /** Resolves when it has ended: with the error, unless the program has ended it. It never rejects. */
    readonly closed: Promise<PubSubError | undefined>
    /** The same, for `await using`. */
    [Symbol.asyncDispose](): Promise<void>
  }

  /** The second argument of a callback, with the option `pubStates`. */
  interface MessageInfo {
    /** Whether it is the current value, which was asked for, and not an update. */
    readonly isState: boolean
  }

  /**
   * The messages of a resource, one after the other. It subscribes when it is first asked, and unsubscribes when the
   * loop is left. It throws `TOO_SLOW` when more wait than its limit, `ABORTED` when its signal aborts, and otherwise
   * what ended its connection.
   */
  interface Messages<Message> extends AsyncIterableIterator<Message> {
    /** Whether the message that was taken last is the current value that was asked for; see {@link MessageInfo}. */
    readonly isState: boolean
    next(): Promise<IteratorResult<Message, undefined>>
    return(value?: any): Promise<IteratorResult<Message, any>>
    [Symbol.asyncIterator](): Messages<Message>
    [Symbol.asyncDispose](): Promise<void>
  }

  /** What can be watched. */
  interface Watchable<Message> {
    /** Its path, which is its topic. */
    readonly path: string
    /**
     * Calls back with every update of the resource, whichever way it was made.
     *
     * The promise resolves when the server has confirmed it. Updates arrive again after a connection was lost and made
     * again; those in between are not made up for.
     *
     * @throws {PubSubError} `NO_CALLBACK`
     */
    subscribe(
      onMessage: (message: Message, about: MessageInfo) => void,
      options: CallbackOptions & { pubStates: true }
    ): Promise<Subscription>
    subscribe(onMessage: (message: Message) => void, options?: CallbackOptions): Promise<Subscription>
    /**
     * The same messages for `for await`.
     *
     * @throws {PubSubError} `BAD_SETTING`
     */
    messages(options?: MessagesOptions): Messages<Message>
    /**
     * Ends the subscriptions of the resource, or those of this callback. None is called any more from here on; the
     * promise resolves when the server has confirmed it.
     */
    unsubscribe(onMessage?: (message: Message, about: MessageInfo) => void): Promise<void>
  }

  /** What can be published on. */
  interface Publishable<Payload = unknown> {
    /**
     * Updates the resource. On properties the payload is what `update()` takes: `5`, `{ value: 5 }`, a list of
     * values, or an object with an entry for each property.
     *
     * Bytes are sent as their text in UTF-8, and a `Date` for its JSON. What JSON cannot say rejects with
     * `INVALID_PAYLOAD`.
     *
     * At QoS 0 the promise resolves when the message has been sent, whatever becomes of it; use `{ qos: 1 }` to know.
     *
     * @throws {PubSubError} `NO_PAYLOAD`
     */
    publish(payload: Payload, options?: ConnectionOptions): Promise<void>
  }

  /**
   * What `evrythng.use(PubSub)` adds to every resource of evrythng.js. On which resources the server serves it is the
   * server's to say: it refuses a subscription to anything else with `SUBSCRIBE_REFUSED`.
   *
   * `Message` is what arrives, which on properties is a list of {@link PropertyUpdate}.
   */
  interface Resource<Message = PropertyUpdate[], Payload = unknown> extends Watchable<Message>, Publishable<Payload> {}

  interface Readable<Result> {
    /** `GET`. */
    read(options?: RequestOptions): Promise<Result>
  }

  /** The items of one page, and with the parameter `withTotalCount` their number on all pages. */
  type Page<Item> = Item[] & { readonly total?: number }

  interface AllOptions extends RequestOptions {
    /** How many items to read at most. */
    limit?: number
  }

  /** What has pages: a list, or the history of a property or a location. */
  interface Pageable<Item> extends Readable<Item[]> {
    /** Reads page after page, as long as there is another. A page may be short or empty before the end. */
    pages(options?: RequestOptions): AsyncIterableIterator<Page<Item>>
    /** Reads all pages, and resolves with their items. */
    all(options?: AllOptions): Promise<Item[]>
  }

  /** A list, whose items the server counts. */
  interface ReadableList<Item> extends Pageable<Item> {
    /** Resolves with the number of items on all pages. */
    total(options?: RequestOptions): Promise<number>
  }

  interface Creatable<New, Result> {
    /** `POST`. */
    create(document: New, options?: RequestOptions): Promise<Result>
  }

  interface Updatable<Update, Result> {
    /**
     * `PUT`.
     *
     * @throws {PubSubError} `NO_PAYLOAD`
     */
    update(document: Update, options?: RequestOptions): Promise<Result>
  }

  interface Deletable {
    /** `DELETE`. */
    delete(options?: RequestOptions): Promise<void>
  }

  /** All of a kind; `update()` and `delete()` need the parameter `ids` or `filter`. */
  interface List<Doc, New, Update> extends ReadableList<Doc>, Creatable<New, Doc>, Updatable<Update, void>, Deletable {
    readonly path: string
  }

  /** One property. */
  interface PropertyResource<Value = unknown>
    extends Resource<PropertyUpdate<Value>[], PropertyPayload<Value>>,
      Pageable<PropertyValue<Value>>,
      Creatable<PropertyPayload<Value>, PropertyUpdate<Value>[]>,
      Updatable<PropertyPayload<Value>, PropertyUpdate<Value>[]>,
      Deletable {}

  /** A value, with or without its time, or several of them. */
  type PropertyPayload<Value> = Value | PropertyWrite<Value> | PropertyWrite<Value>[]

  /** All properties of something. */
  interface PropertiesResource<Values = Record<string, unknown>>
    extends Resource<PropertyUpdateOf<Values>[], PropertiesPayload<Values>>,
      Readable<PropertyUpdateOf<Values>[]>,
      Creatable<PropertiesPayload<Values>, PropertyUpdateOf<Values>[]>,
      Updatable<PropertiesPayload<Values>, PropertyUpdateOf<Values>[]>,
      Deletable {}

  /** An object with an entry for each property, or a list of values with their keys. */
  type PropertiesPayload<Values> = Partial<Values> | KeyedPropertyWrite | KeyedPropertyWrite[]

  interface LocationResource
    extends Resource<LocationUpdate[], LocationWrite | LocationWrite[]>,
      Pageable<LocationUpdate>,
      Updatable<LocationWrite | LocationWrite[], LocationUpdate[]>,
      Deletable {}

  /** Actions of a type, or of all types. */
  interface ActionsResource<Message = Action> extends Resource<Message, NewAction | NewAction[]>, ReadableList<Action> {
    /** `POST`. */
    create(actions: NewAction[], options?: RequestOptions): Promise<Action[]>
    create(action?: NewAction, options?: RequestOptions): Promise<Action>
  }

  interface ActionResource extends Readable<Action>, Deletable {
    readonly path: string
  }

  interface ActionTypesResource
    extends Resource<ActionType, NewActionType>,
      ReadableList<ActionType>,
      Creatable<NewActionType, ActionType> {}

  /** One action type. On its path are its actions: they are its messages, until the type itself comes when it is deleted. */
  interface ActionTypeResource
    extends Watchable<Action | ActionType>,
      Readable<ActionType>,
      Updatable<ActionTypeUpdate, ActionType>,
      Deletable {
    /** `POST`, with the name. */
    create(document?: ActionTypeUpdate, options?: RequestOptions): Promise<ActionType>
  }

  /** What actions can happen to. */
  interface Subject {
    action(type?: string): ActionsResource
    action(type: string, id: string): ActionResource
  }

  /** What has properties. */
  interface Propertied {
    /** `Value` is the type of its values, which is not checked. */
    property<Value = unknown>(key: string): PropertyResource<Value>
    /** `Values` has the type of each property, which is not checked. */
    property<Values = Record<string, unknown>>(): PropertiesResource<Values>
  }

  interface ThngResource
    extends Resource<Thng, ThngUpdate>,
      Readable<Thng>,
      Updatable<ThngUpdate, Thng>,
      Deletable,
      Subject,
      Propertied {
    location(): LocationResource
  }

  interface ProductResource
    extends Resource<Product, ProductUpdate>,
      Readable<Product>,
      Updatable<ProductUpdate, Product>,
      Deletable,
      Subject,
      Propertied {}

  interface CollectionResource
    extends Resource<Collection, CollectionUpdate>,
      Readable<Collection>,
      Updatable<CollectionUpdate, Collection>,
      Deletable,
      Subject {
    /** The thngs that are in it; updating adds some, by their ids. */
    thng(): MembersResource
    /** One of them; deleting takes it out. */
    thng(id: string): Deletable & { readonly path: string }
  }

  interface MembersResource
    extends Resource<MembershipChange, string[]>,
      ReadableList<Thng>,
      Updatable<string[], Collection>,
      Deletable {}

  interface BatchResource extends Readable<Batch>, Updatable<BatchUpdate, Batch>, Deletable {
    readonly path: string
    /** Its tasks. One that is created has begun when the promise resolves, with its id. */
    task(): TasksResource
    task(id: string): TaskResource
  }

  /** The messages are of tasks that have ended. */
  interface TasksResource extends Watchable<Task>, ReadableList<Task>, Creatable<NewTask, { id: string }> {}

  interface TaskResource extends Watchable<Task>, Readable<Task> {}

  // Scopes.

  /** Settings of one scope, which win over those of {@link setup}. */
  type ScopeOptions = Partial<Settings>

  /**
   * The connections of a scope; of several the worst. `idle`: there is none. `disconnected`: it is lost, or could not be
   * made, and is tried again.
   */
  type ScopeState = 'idle' | 'connecting' | 'connected' | 'disconnected'

  /** The owner of an API key. Calls of one scope share a connection. */
  interface Scope {
    /** It is not shown when the scope is printed or made JSON of. */
    readonly apiKey: string
    readonly state: ScopeState
    /** Calls back when something happens to a connection of this scope, until the function that it returns is called. */
    on<Type extends keyof Events>(type: Type, listener: (event: Events[Type]) => void): () => void
    /** Closes the connections of this scope. What still waits is rejected with `CLOSED`; the next call opens a new one. */
    close(): Promise<void>
    /** The same, for `await using`. */
    [Symbol.asyncDispose](): Promise<void>
    thng(): List<Thng, NewThng, ThngUpdate>
    thng(id: string): ThngResource
    product(): List<Product, NewProduct, ProductUpdate>
    product(id: string): ProductResource
    collection(): List<Collection, NewCollection, CollectionUpdate>
    collection(id: string): CollectionResource
    /** Actions of all types. */
    action(type?: 'all'): ActionsResource
    /** Actions of a type. When the type is deleted, it is a message, too. */
    action(type: string): ActionsResource<Action | ActionType>
    action(type: string, id: string): ActionResource
    actionType(): ActionTypesResource
    actionType(name: string): ActionTypeResource
    batch(): ReadableList<Batch> & Creatable<NewBatch, Batch> & { readonly path: string }
    batch(id: string): BatchResource
  }

  /** @throws {PubSubError} `BAD_SETTING` */
  class Operator {
    constructor(apiKey: string, options?: ScopeOptions)
  }
  interface Operator extends Scope {}

  /** @throws {PubSubError} `BAD_SETTING` */
  class Application {
    constructor(apiKey: string, options?: ScopeOptions)
  }
  interface Application extends Scope {}

  /** @throws {PubSubError} `BAD_SETTING` */
  class TrustedApplication {
    constructor(apiKey: string, options?: ScopeOptions)
  }
  interface TrustedApplication extends Scope {}

  /** @throws {PubSubError} `BAD_SETTING` */
  class User {
    constructor(apiKey: string, options?: ScopeOptions)
  }
  interface User extends Scope {}

  /** @throws {PubSubError} `BAD_SETTING` */
  class Device {
    constructor(apiKey: string, options?: ScopeOptions)
  }
  interface Device extends Scope {}

  /** @throws {PubSubError} `BAD_SETTING` */
  class AccessToken {
    constructor(apiKey: string, options?: ScopeOptions)
  }
  interface AccessToken extends Scope {}

  // Filters.

  /** The fields by which each list can be filtered. */
  interface FilterFields {
    thngs:
      | 'name'
      | 'product'
      | 'tags'
      | `identifiers.${string}`
      | 'batch'
      | 'createdByTask'
      | 'collections'
      | 'createdAt'
      | 'updatedAt'
      | `customFields.${string}`
    products:
      | 'name'
      | 'tags'
      | `identifiers.${string}`
      | 'createdAt'
      | 'updatedAt'
      | `customFields.${string}`
    collections:
      | 'name'
      | 'tags'
      | `identifiers.${string}`
      | 'collections'
      | 'createdAt'
      | 'updatedAt'
      | `customFields.${string}`
    actionTypes:
      | 'name'
      | 'tags'
      | 'createdAt'
      | 'updatedAt'
      | `customFields.${string}`
    actions:
      | 'type'
      | 'user'
      | 'createdByThng'
      | 'createdByProject'
      | 'createdByApp'
      | 'thng'
      | 'product'
      | 'collection'
      | 'tags'
      | `identifiers.${string}`
      | 'timestamp'
      | 'context.city'
      | 'context.countryCode'
      | 'createdAt'
      | `customFields.${string}`
    batches:
      | 'name'
      | 'tags'
      | `identifiers.${string}`
      | 'createdAt'
      | 'updatedAt'
      | `customFields.${string}`
    tasks:
      | 'batch'
      | 'type'
      | 'status'
      | 'createdAt'
      | 'updatedAt'
    /** A history: one value for each operator. */
    values: 'timestamp'
  }

  /** What a field is compared with. Of several values one has to match, and with `!=` none. A date is its milliseconds. */
  type FilterValue = string | number | boolean | bigint | Date
  type FilterOperator = '=' | '!=' | '~' | '>' | '>=' | '<' | '<='
  type FilterTerm =
    | FilterValue
    | readonly FilterValue[]
    | { readonly [Operator in FilterOperator]?: FilterValue | readonly FilterValue[] }

  /** Terms that all have to match, by field. */
  type FilterTerms<List extends keyof FilterFields = keyof FilterFields> = {
    readonly [Field in FilterFields[List]]?: FilterTerm
  }

  /**
   * Makes the parameter `filter`: `filter({ tags: ['hall', 'lobby'], createdAt: { '>=': since } })`. All parts have to
   * match; a part may be another filter. `filter<'thngs'>` allows only the fields of that list.
   *
   * @throws {PubSubError} `BAD_SETTING`
   */
  function filter<List extends keyof FilterFields = keyof FilterFields>(...parts: (FilterTerms<List> | string)[]): string
  namespace filter {
    /** A filter that one of the parts has to match. */
    function any<List extends keyof FilterFields = keyof FilterFields>(...parts: (FilterTerms<List> | string)[]): string
  }

  // Errors and events.

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
    | 'REQUEST_REFUSED'
    | 'NO_ACKNOWLEDGEMENT'
    | 'QUEUE_FULL'
    | 'UNSUBSCRIBED'
    | 'NOT_SUBSCRIBED'
    | 'ABORTED'
    | 'TOO_SLOW'
    | 'INVALID_TOPIC'
    | 'NO_CALLBACK'
    | 'NO_PAYLOAD'
    | 'INVALID_PAYLOAD'
    | 'NO_FETCH'
    | 'NO_URL'
    | 'BAD_URL'
    | 'BAD_SETTING'
    | 'CALLBACK'
    | 'WASM_BLOCKED'
    | 'NO_MODULE'
    | 'ENGINE_FAILED'

  /** Every error of this package. */
  class PubSubError extends Error {
    private constructor()
    /** `AbortError` when the code is `ABORTED`. */
    readonly name: 'PubSubError' | 'AbortError'
    /** What kind of error it is. */
    readonly code: ErrorCode
    /** The topic or the path that it is about, if it is about one. */
    readonly topic?: string
    /** With `REQUEST_REFUSED` and `PUBLISH_REFUSED`: the HTTP status, also of a publish over MQTT. */
    readonly status?: number
    /** With `REQUEST_REFUSED` and `PUBLISH_REFUSED`: the sentences of the server's error document. */
    readonly errors?: readonly string[]
    /** The error that it came from, or the reason of the signal, if there is one. */
    readonly cause?: unknown
  }

  interface ConnectionEvent {
    /** The scope whose connection it is. It is not enumerable. */
    readonly scope: object
    /** The address of the other side. */
    readonly url: string
    /** The topic, if the connection is a native WebSocket. */
    readonly topic?: string
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
      /** In how many milliseconds it is tried again: `Infinity` while the browser is offline, undefined if it is not. */
      readonly retryInMs?: number
    }
    /**
     * An error that no promise can report: a callback threw, a key was revoked, or a subscription was refused when it
     * was restored. The same goes for a publish on a native WebSocket. Without a listener it is written to the console.
     */
    error: ConnectionEvent & { readonly type: 'error'; readonly error: PubSubError }
  }

  // Functions.

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

  /** The WebAssembly module, its bytes, its address, or the response or blob that has it. */
  type ModuleSource = string | object

  /**
   * Starts the WebAssembly module ahead of the first call, without holding up the page. It is the one inside the
   * package, unless another copy of it is given; the entry `thng-pubsub/slim` has none inside.
   *
   * Rejects with `WASM_BLOCKED` or `NO_MODULE`.
   */
  function init(source?: ModuleSource | Promise<ModuleSource>): Promise<void>

  /** Calls back when something happens to a connection, until the function that it returns is called. */
  function on<Type extends keyof Events>(type: Type, listener: (event: Events[Type]) => void): () => void

  /** Takes a listener back. */
  function off<Type extends keyof Events>(type: Type, listener: (event: Events[Type]) => void): void

  /**
   * Closes every connection, after which a Node.js program can end. What still waits is rejected with `CLOSED`.
   * The next call opens a new connection.
   */
  function close(): Promise<void>
}

declare global {
  /** As TypeScript's library has it since `esnext.disposable`. */
  interface SymbolConstructor {
    readonly asyncDispose: unique symbol
  }
}

export = PubSub
