module.exports = require('./node.js').PubSub
