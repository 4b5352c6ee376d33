/** What the server would say of a topic or a payload, without a server: the same as `require('thng-pubsub/check')`. */
export * from './check.cjs'
