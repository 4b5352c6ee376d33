require('./included.js')
module.exports = require('./node.js').PubSub
