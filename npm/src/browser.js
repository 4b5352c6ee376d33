import { platform } from './browser-platform.js'
import { createPlugin } from './plugin.js'
import { createPubSub } from './pubsub.js'
import { createScopes } from './standalone.js'

/** All that there is, in a browser or a worker. */
export const PubSub = createPubSub(platform, createPlugin, createScopes)
