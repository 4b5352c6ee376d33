import PubSub from 'thng-pubsub/slim'
import address from 'thng-pubsub/pubsub.wasm?url'

import { parameters, roundTrip, show } from './round-trip.js'

show(PubSub.init(address).then(() => roundTrip(PubSub, parameters())))
