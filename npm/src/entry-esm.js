import './included.js'

export * from './slim.js'
export { default } from './slim.js'
