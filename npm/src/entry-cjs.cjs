require('./included.js')
module.exports = require('./browser.js').PubSub
