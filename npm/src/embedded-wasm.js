/** The module inside the bundle, as a string, so that no bundler and no server has to know about it. */
import packed from '../pkg/core-packed.js'
import { embed } from './wasm-module.js'
import { unpack } from './packed.js'

embed(() => unpack(packed))
