import { PubSubError } from './errors.js'

/** What the entry with the plugin alone has in the place of `native.js`. */
export class NativeConnection {
  constructor() {
    throw new PubSubError('BAD_SETTING', {
      detail: "transport cannot be 'websocket' in thng-pubsub/plugin, which leaves it out to be small; load thng-pubsub"
    })
  }
}
