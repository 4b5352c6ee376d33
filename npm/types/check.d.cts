/**
 * What the server would say of a topic or a payload, without a server.
 *
 * ```js
 * import { checkPublish, describeTopic } from 'thng-pubsub/check'  // or: const { … } = require('thng-pubsub/check')
 *
 * describeTopic('/thngs/UeECn9a8PBpar8x4FEGdMsDd/properties').publish  // { operation: 'updateProperties', right: 'update' }
 * checkPublish('/thngs/UeECn9a8PBpar8x4FEGdMsDd/properties', [{ value: 5 }])  // ['Entry 0: key is required.']
 * ```
 *
 * It reads with the server's own tables and readers. Whether a resource exists, and whether a key may write it, only the
 * server knows.
 */

/** What an API key needs to be allowed. */
export type Right = 'create' | 'read' | 'update' | 'delete'

/** What publishing on a topic does. */
export type Operation =
  | 'createActionType'
  | 'createAction'
  | 'updateCollection'
  | 'addThngs'
  | 'updateProduct'
  | 'updateThng'
  | 'updateLocation'
  | 'updateProperties'

/** An event, as a subscriber receives it. */
export type TopicEvent =
  | 'actionTypeCreated'
  | 'actionTypeDeleted'
  | 'actionCreated'
  | 'taskCompleted'
  | 'collectionUpdated'
  | 'collectionDeleted'
  | 'membershipChanged'
  | 'productUpdated'
  | 'thngUpdated'
  | 'locationUpdated'
  | 'propertiesUpdated'

/** A topic string, read. */
export interface TopicDescription {
  /** The topic as the server writes it, without options. */
  topic: string
  /** Its row in the list of topics, such as `/thngs/:thngId/properties/:key`. */
  template: string
  /** What publishing does and needs; `null` for a topic that can only be watched. */
  publish: { operation: Operation; right: Right } | null
  /** What subscribing delivers and needs. */
  subscribe: { events: TopicEvent[]; right: Right }
  /** The project that the option `project` asks for. */
  project: string | null
  /** Whether `pubStates=1` asks for the current value. */
  initialState: boolean
  /** Whether there is an `access_token`, which is not repeated. */
  hasAccessToken: boolean
}

/**
 * Reads a topic string as the server would, options included.
 *
 * @throws An error whose `code` is `INVALID_TOPIC` and whose message is the server's reason; `WASM_BLOCKED` where the
 * policy of the page forbids WebAssembly.
 */
export function describeTopic(topic: string): TopicDescription

/**
 * What the server would find wrong with a publish, one sentence a fault, as in the `errors` of its error documents;
 * empty where it would try to store it.
 *
 * @param payload - What `publish()` would be given: a value for a property, else a document.
 * @throws An error whose `code` is `NO_PAYLOAD` or `WASM_BLOCKED`.
 */
export function checkPublish(topic: string, payload: unknown): string[]
