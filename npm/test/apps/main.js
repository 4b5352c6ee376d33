import PubSub, { PubSubError, setup } from 'thng-pubsub'

import { parameters, roundTrip, show } from './round-trip.js'

if (PubSub.setup !== setup || PubSub.PubSubError !== PubSubError) throw new Error('there are two of it')
show(roundTrip(PubSub, parameters()))
