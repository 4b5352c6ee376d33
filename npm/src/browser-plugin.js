import { platform } from './browser-platform.js'
import { createPlugin } from './plugin.js'
import { createPubSub } from './pubsub.js'

/** The plugin alone, in a browser or a worker. */
export const PubSub = createPubSub(platform, createPlugin)
