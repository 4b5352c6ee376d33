require('./embedded-wasm.js')
module.exports = require('./node.js').PubSub
