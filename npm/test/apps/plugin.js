import PubSub from 'thng-pubsub/plugin'

import { parameters, roundTrip, show } from './round-trip.js'

show(roundTrip(PubSub, parameters()))
