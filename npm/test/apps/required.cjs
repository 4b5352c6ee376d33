const PubSub = require('thng-pubsub')
const { parameters, roundTrip, show } = require('./round-trip.js')

show(roundTrip(PubSub, parameters()))
