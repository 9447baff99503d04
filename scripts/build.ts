/*
 * Builds the package into dist/: JavaScript in few files, because loading two hundred modules costs more than
 * most commands, and the declarations of the library. ADR 0003.
 */
import { rm } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = fileURLToPath(new URL('..', import.meta.url))

await rm(`${root}dist`, { recursive: true, force: true })
await build({
  absWorkingDir: root,
  entryPoints: {
    start: 'src/cli/start.ts',
    engine: 'src/engine/index.ts',
    testing: 'src/testing/index.ts',
    // A thread is started from a file, which has to lie beside the chunk that starts it.
    applyWorker: 'src/layer/applyWorker.ts',
  },
  outdir: 'dist',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node24',
  packages: 'external',
  sourcemap: true,
  logLevel: 'warning',
})
