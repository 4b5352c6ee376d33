/**
 * What can go wrong, in words: the one table of codes.
 *
 * Each code has a sentence that says what happened and what to do about it. `about` is what is known of the case: the
 * topic, what the other side said, the address. Codes that come out of the WebAssembly module are named the same in
 * `wasm-sdk/src/failure.rs`, where a test holds the two lists together.
 */
const SENTENCES = {
  // The connection.
  UNAUTHORIZED: (about) =>
    `The server at ${about.url} does not accept the API key (${about.detail}). ` +
    'Check that the key is complete, not revoked, and belongs to this server.',
  CONNECT_REFUSED: (about) =>
    `The server at ${about.url} refused the connection (${about.detail}). ` +
    'Check that it speaks MQTT 3.1.1 and that clientIdPrefix has only characters it allows.',
  SERVER_UNAVAILABLE: (about) =>
    `The server at ${about.url} is there but not serving at the moment (${about.detail}). Try again later.`,
  HANDSHAKE: (about) =>
    `No connection to ${about.url}${about.detail && ` (${about.detail})`}. ` +
    'Check the address, that the server runs, and that a page served by https uses wss or https.',
  TIMEOUT: (about) =>
    `The server at ${about.url} did not answer in time${about.detail && ` (${about.detail})`}. ` +
    'What was asked may or may not have been done: check before you repeat it.',
  CONNECTION_LOST: (about) =>
    `The connection to ${about.url} was lost${about.detail && ` (${about.detail})`}. It is being made again.`,
  PROTOCOL: (about) =>
    `What is at ${about.url} does not answer as the server would (${about.detail}). ` +
    'Check the address: the path of the broker is /mqtt as a rule.',
  CLOSED: () => 'The connection was closed by close(), or for lack of use. Call the method again to open a new one.',

  // A call.
  SUBSCRIBE_REFUSED: (about) =>
    `The server refused the subscription to ${about.topic}. ` +
    'Either the resource does not exist or is no topic, or the API key may not read it.',
  PUBLISH_REFUSED: (about) =>
    about.answer
      ? `The server refused a publish to ${about.topic}: ${about.answer}`
      : `The server closes the connection instead of acknowledging the publish to ${about.topic}` +
        `${about.detail && ` (${about.detail})`}. ` +
        'Either the resource does not exist, the payload is not valid for it, or the API key may not write it.',
  NO_ACKNOWLEDGEMENT: (about) =>
    `A publish to ${about.topic} over a native WebSocket is not acknowledged. Leave qos out, or use the transport 'mqtt'.`,
  QUEUE_FULL: (about) =>
    `Too much is waiting to be sent, so ${about.topic} was not added. ` +
    'Wait until the network takes more, publish less often, or raise queueLimit.',
  UNSUBSCRIBED: (about) =>
    `${about.topic} was unsubscribed before the server had answered the subscription. Subscribe again if that was not meant.`,
  NOT_SUBSCRIBED: (about) =>
    `There is no connection that ${about.topic} could be unsubscribed on. Call subscribe() first.`,
  ABORTED: (about) =>
    `The signal of the call has aborted it${about.topic && ` (${about.topic})`}. ` +
    'What was sent before that may still have been stored.',
  TOO_SLOW: (about) =>
    `More messages of ${about.topic} came than were taken, so messages() ended instead of losing any (${about.detail}). ` +
    'Take them faster, or raise the option limit.',
  REQUEST_REFUSED: (about) => `The server refused ${about.detail}`,
  INVALID_TOPIC: (about) =>
    `${about.topic || 'The empty string'} cannot be a topic: ${about.detail}. Use the path of one resource.`,

  // The program.
  NO_CALLBACK: () => 'subscribe() needs a function that receives the messages as its first argument.',
  NO_PAYLOAD: (about) => `${about.detail || 'publish'}() needs what is to be written as its first argument.`,
  INVALID_PAYLOAD: (about) =>
    `What was to be written to ${about.topic} cannot be sent: ${about.detail}.`,
  NO_FETCH: () => 'There is no fetch() here, which REST needs. Make it a global before the call, or use another version of Node.js.',
  NO_URL: (about) =>
    about.detail || "It is not known where the server is. Say it with PubSub.setup({ apiUrl: 'wss://example.com/mqtt' }).",
  BAD_URL: (about) =>
    `${about.url} is not an address that can be connected to: ${about.detail}. ` +
    'Use ws:// or wss://, or the http:// or https:// address of the REST API.',
  BAD_SETTING: (about) => `The setting ${about.detail}.`,
  CALLBACK: (about) => `A callback of ${about.topic} threw: ${about.detail}.`,

  // The WebAssembly module.
  WASM_BLOCKED: (about) =>
    `WebAssembly cannot be used here (${about.detail}). ` +
    "If the page has a Content-Security-Policy, add 'wasm-unsafe-eval' to its script-src.",
  NO_MODULE: (about) =>
    `There is no WebAssembly module (${about.detail}). ` +
    'Before anything else, await PubSub.init() with the bytes or the address of the pubsub.wasm of this very version.',
  ENGINE_FAILED: (about) =>
    `The SDK failed inside (${about.detail}) and started again with its subscriptions. ` +
    'Publishes that were under way may or may not have been stored. Please report this.'
}

/** Every code, for documentation and tests. */
export const CODES = Object.keys(SENTENCES)

/** What each error was made with. */
const abouts = new WeakMap()

/**
 * An error of this package: `code` is stable, `message` is for people, `topic` is there when it is about one.
 */
export class PubSubError extends Error {
  /**
   * @param {string} code - One of the table.
   * @param {object} [about] - What is known of the case.
   * @param {string} [about.topic]
   * @param {string} [about.detail]
   * @param {string} [about.url]
   * @param {unknown} [about.cause]
   * @param {number} [about.status] - Of the answer to a REST request.
   * @param {string[]} [about.errors] - The sentences of its error document.
   */
  constructor(code, about = {}) {
    super(SENTENCES[code]({ detail: '', topic: '', ...about }), 'cause' in about ? { cause: about.cause } : undefined)
    abouts.set(this, about)
    this.code = code
    for (const name of ['topic', 'status', 'errors']) if (about[name] !== undefined) this[name] = about[name]
  }

  /** What the web calls the error of an aborted call is looked for by that name. */
  get name() {
    return this.code === 'ABORTED' ? 'AbortError' : 'PubSubError'
  }
}

/** The error of a call about a topic. The error of a connection, which many calls share, is copied to get one. */
export function withTopic(error, topic) {
  if (!abouts.has(error) || error.topic !== undefined) return error
  return new PubSubError(error.code, { ...abouts.get(error), topic })
}
