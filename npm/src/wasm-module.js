/**
 * The WebAssembly module: compiled when it is first needed, instantiated again after it has failed.
 *
 * Where the module comes from is the entry's to say: most have it inside and compile it synchronously and late. A page
 * that never connects pays nothing, and one whose policy forbids WebAssembly breaks at the call that needs it, with an
 * error that says so. `init()` does the same ahead of the first call, and asynchronously.
 */
import createCore from '../pkg/core-factory.js'
import { PubSubError } from './errors.js'
import { Utf8Decoder, Utf8Encoder } from './text.js'

/** What every module begins with. */
const MAGIC = [0x00, 0x61, 0x73, 0x6d]

/** Gives the module that comes with the entry, or its bytes. */
let embedded
let module
let core
/** The timers that the running instance has set. */
let timers

/**
 * Says what the entry has inside; called once, by the entry.
 *
 * @param {() => WebAssembly.Module | Uint8Array} source
 */
export function embed(source) {
  embedded = source
}

/**
 * The running instance.
 *
 * @throws {PubSubError} WASM_BLOCKED, or NO_MODULE where it was neither embedded nor given to `init()`
 */
export function wasmInstance() {
  if (core) return core
  try {
    module ??= compileNow(embeddedModule())
    const [fresh, own] = makeCore()
    fresh.initSync({ module })
    start(fresh, own)
  } catch (error) {
    throw readable(error)
  }
  return core
}

/**
 * Makes the instance ahead of the first call, without holding up the page.
 *
 * @param {unknown} [source] - The module, its bytes, its address, or the response or blob that has it; also a promise
 *   of one of these. What the entry includes, if it is left out.
 * @throws {PubSubError} as `wasmInstance()`
 */
export async function init(source) {
  if (core) return
  try {
    const given = await source
    const compiled = module ?? (await compile(given ?? embeddedModule()))
    const [fresh, own] = makeCore()
    await fresh({ module_or_path: compiled }).catch((cause) => {
      throw given ? noModule(`what was given may be that of another version: ${cause.message}`, cause) : cause
    })
    module ??= compiled
    // A call that came in between has started one of its own.
    if (!core) start(fresh, own)
  } catch (error) {
    throw readable(error)
  }
}

/** Gives up the running instance, with its timers. Whatever it still calls has no effect: its hosts are given up too. */
export function discardInstance() {
  for (const timer of timers ?? []) clearTimeout(timer)
  core = timers = undefined
}

function embeddedModule() {
  if (!embedded) throw new PubSubError('NO_MODULE', { detail: 'init() has not been called, or has not ended' })
  return embedded()
}

function compileNow(source) {
  return source instanceof WebAssembly.Module ? source : new WebAssembly.Module(source)
}

async function compile(source) {
  if (source instanceof WebAssembly.Module) return source
  if (typeof source === 'string' || source instanceof URL) return compile(await load(source))
  if (source.ok === false) throw noModule(`${source.url || 'the response'} has the status ${source.status}`)
  if (source.headers?.get('content-type') === 'application/wasm') return WebAssembly.compileStreaming(source)
  const bytes = await bytesOf(source)
  if (MAGIC.some((byte, at) => bytes[at] !== byte)) throw noModule('what was given is no WebAssembly')
  return WebAssembly.compile(bytes)
}

async function load(address) {
  try {
    return await fetch(address)
  } catch (cause) {
    throw noModule(`${address} cannot be loaded: ${cause.message}`, cause)
  }
}

/** The bytes of a response, a blob or a buffer. */
async function bytesOf(source) {
  const data = source.arrayBuffer ? await source.arrayBuffer() : source
  return ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : new Uint8Array(data)
}

/** An instance that does not run yet, with the set that will have its timers. */
function makeCore() {
  const own = new Set()
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
    },
    undefined,
    Utf8Encoder,
    Utf8Decoder
  )
  return [fresh, own]
}

function start(fresh, own) {
  core = fresh
  timers = own
}

const noModule = (detail, cause) => new PubSubError('NO_MODULE', { detail, cause })

function readable(error) {
  if (error instanceof PubSubError) return error
  return new PubSubError('WASM_BLOCKED', { detail: String(error?.message ?? error), cause: error })
}
