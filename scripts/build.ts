/*
 * Builds the package into dist/: the command as one CommonJS file, because Node's ES module loader costs more
 * than most commands; the library as ES modules with shared chunks; its declarations come from tsc. ADR 0003.
 */
import { createHash } from 'node:crypto'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { createRequire, isBuiltin } from 'node:module'
import { fileURLToPath } from 'node:url'
import { build, type BuildOptions, type Plugin } from 'esbuild'

const root = fileURLToPath(new URL('..', import.meta.url))

const common: BuildOptions = {
  absWorkingDir: root,
  outdir: 'dist',
  bundle: true,
  platform: 'node',
  target: 'node24',
  legalComments: 'none',
  sourcemap: true,
  minifyWhitespace: true,
  minifySyntax: true,
  logLevel: 'warning',
}

/**
 * Node's own modules as objects whose properties load the module when one is read: a short command then never pays
 * for node:crypto or node:child_process only because a file that it needs imports them for another function.
 */
const builtinsWhenUsed: Plugin = {
  name: 'built-in modules when they are used',
  setup(esbuild) {
    esbuild.onResolve({ filter: /^node:/ }, ({ path, pluginData }) =>
      isBuiltin(path) && pluginData !== 'itself' ? { path, namespace: 'builtin' } : undefined,
    )
    esbuild.onLoad({ filter: /.*/, namespace: 'builtin' }, ({ path }) => {
      const names = Object.keys(createRequire(import.meta.url)(path) as object).filter(name => name !== 'default')
      const getters = names.map(name => `get ${JSON.stringify(name)}() { return itself()[${JSON.stringify(name)}] }`)
      const contents = [
        'let loaded',
        `const itself = () => (loaded ??= require(${JSON.stringify(path)}))`,
        `module.exports = { get default() { return itself() }, ${getters.join(', ')} }`,
      ].join('\n')
      return { contents, pluginData: 'itself' }
    })
  },
}

await rm(`${root}dist`, { recursive: true, force: true })
await build({
  ...common,
  // A thread is started from a file, which has to lie beside the one that starts it.
  entryPoints: { start: 'src/cli/start.ts', applyWorker: 'src/layer/applyWorker.ts' },
  format: 'cjs',
  outExtension: { '.js': '.cjs' },
  plugins: [builtinsWhenUsed],
  // These bring files beside their code, which they look for at run time.
  external: ['koffi', 'xz-decompress'],
  define: { 'import.meta.url': 'moduleUrl' },
  banner: { js: 'const moduleUrl = require("node:url").pathToFileURL(__filename).href;' },
})
const bundled = await readFile(`${root}dist/start.cjs`, 'utf8')
const builtins = new Set(Array.from(bundled.matchAll(/(require_\w+)=__commonJS\(\{"builtin:/g), ([, name]) => name!))
const command = bundled
  // What is made for Node's modules can be imported from as it is: esbuild copies all properties for each importing module, 8 ms at each start.
  .replaceAll(/__toESM\((require_\w+)\(\),1\)/g, (copied, name: string) => (builtins.has(name) ? `${name}()` : copied))
  // ASCII, so that nobody decodes a megabyte before each command: esbuild escapes strings and leaves regular expressions.
  .replaceAll(/[^\0-\x7f]/g, unit => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
await writeFile(`${root}dist/start.cjs`, command)
// Names what V8 has compiled of it.
await writeFile(`${root}dist/build-id`, createHash('sha256').update(command).digest('hex').slice(0, 16))
await build({
  ...common,
  entryPoints: { engine: 'src/engine/index.ts', testing: 'src/testing/index.ts', applyWorker: 'src/layer/applyWorker.ts' },
  format: 'esm',
  splitting: true,
  packages: 'external',
})
