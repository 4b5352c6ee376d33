import './included.js'

export { PubSub as default } from './browser.js'
