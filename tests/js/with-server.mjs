// Starts a server of its own, runs the tests of this folder against it, and stops it.
//
//   node with-server.mjs [test files…]
//
// The binary is `THNG_PUBSUB_SERVER`, else the release build, else the debug build of this workspace.

import { spawn } from 'node:child_process'

import { binary, exitCode, launch } from './launch.mjs'

const server = await launch()
try {
  const environment = { ...process.env, ...server.environment, THNG_PUBSUB_SERVER: binary() }
  // The files share one account, and some count what is in it.
  const arguments_ = ['--test', '--test-concurrency=1', ...process.argv.slice(2)]
  const tests = spawn(process.execPath, arguments_, { cwd: import.meta.dirname, env: environment, stdio: 'inherit' })
  process.exitCode = await exitCode(tests)
} finally {
  await server.stop()
}
