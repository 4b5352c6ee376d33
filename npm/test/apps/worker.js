import PubSub from 'thng-pubsub'

import { roundTrip } from './round-trip.js'

onmessage = async ({ data }) => postMessage(await roundTrip(PubSub, data))
