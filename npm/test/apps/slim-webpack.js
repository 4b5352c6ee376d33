import PubSub from 'thng-pubsub/slim'

import { parameters, roundTrip, show } from './round-trip.js'

const address = new URL('thng-pubsub/pubsub.wasm', import.meta.url)
show(PubSub.init(address).then(() => roundTrip(PubSub, parameters())))
