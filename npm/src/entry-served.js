/** The module as the server serves it. Bundlers treat `import.meta` differently, so the package is without it. */
import { loadedFrom } from './home.js'

export * from './entry-esm.js'
export { default } from './entry-esm.js'

loadedFrom(import.meta.url)
