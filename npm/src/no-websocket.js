import { PubSubError } from './errors.js'

/** What the entry with the plugin alone has in the place of `topic-sockets.js`. */
export class TopicSockets {
  constructor() {
    throw new PubSubError('BAD_SETTING', {
      detail: "transport cannot be 'websocket' in thng-pubsub/plugin, which leaves it out to be small; load thng-pubsub"
    })
  }
}
