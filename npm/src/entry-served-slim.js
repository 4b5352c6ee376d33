/** The same without a module inside. */
import { loadedFrom } from './home.js'

export * from './slim.js'
export { default } from './slim.js'

loadedFrom(import.meta.url)
