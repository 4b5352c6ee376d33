module.exports = require('./browser.js').PubSub
