/**
 * The WebAssembly module: compiled when it is first needed, instantiated again after it has failed.
 *
 * The bytes are in the bundle as a string, so that no bundler and no server has to know about them. They are compiled
 * synchronously and late: a page that never connects pays nothing, and one whose policy forbids WebAssembly breaks at
 * the call that needs it, with an error that says so.
 */
import createCore from '../pkg/core-factory.js'
import packed from '../pkg/core-packed.js'
import { PubSubError } from './errors.js'
import { unpack } from './packed.js'

let module
let core
/** The timers that the running instance has set. */
let timers

/**
 * The running instance.
 *
 * @throws {PubSubError} WASM_BLOCKED
 */
export function engine() {
  core ??= instantiate()
  return core
}

/** Gives up the running instance, with its timers. Whatever it still calls has no effect: its hosts are given up too. */
export function discardEngine() {
  for (const timer of timers ?? []) clearTimeout(timer)
  core = timers = undefined
}

function instantiate() {
  try {
    module ??= new WebAssembly.Module(unpack(packed))
    const own = (timers = new Set())
    const fresh = createCore(
      (callback, delay) => {
        const timer = setTimeout(() => {
          own.delete(timer)
          callback()
        }, delay)
        own.add(timer)
        return timer
      },
      (timer) => {
        own.delete(timer)
        clearTimeout(timer)
      }
    )
    fresh.initSync({ module })
    return fresh
  } catch (cause) {
    throw new PubSubError('WASM_BLOCKED', { detail: String(cause?.message ?? cause), cause })
  }
}
