require('./included.js')
module.exports = require('./browser-plugin.js').PubSub
