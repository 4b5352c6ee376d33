import { defineConfig } from 'vite'

export default defineConfig({
  // The app is served below whatever path: its files name each other relatively.
  base: './',
  build: {
    outDir: '../dist/app',
    emptyOutDir: true,
    target: 'es2022',
    license: { fileName: 'licenses.md' }
  },
  // `npx vite app` in `examples-web/`, for work on it: what is no file of the app is the server's.
  server: {
    proxy: {
      '/mqtt': { target: 'http://127.0.0.1:8080', ws: true },
      '/thngs': { target: 'http://127.0.0.1:8080', ws: true }
    }
  }
})
