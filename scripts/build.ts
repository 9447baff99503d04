/*
 * Builds the package into dist/: the command as one file of parts that are evaluated when they are used, because Node's
 * ES module loader, and what a verb has no use for, cost more than most commands; the library as ES modules with shared
 * chunks; its declarations come from tsc. ADR 0003.
 */
import { createHash } from 'node:crypto'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { createRequire, isBuiltin } from 'node:module'
import { basename } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build, type BuildOptions, type Plugin, transform } from 'esbuild'

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

/** The command, as opposed to the library. */
const command: BuildOptions = {
  // These bring files beside their code, which they look for at run time.
  external: ['koffi', 'xz-decompress'],
}

/**
 * Node's own modules as objects whose properties load the module when one is read: a short command then never pays
 * for node:crypto or node:child_process only because a file that it needs imports them for another function.
 */
const builtinsWhenUsed: Plugin = {
  name: 'built-in modules when they are used',
  setup(esbuild) {
    // Packages also write them without `node:`.
    esbuild.onResolve({ filter: /^(?:node:)?[a-z_/]+$/ }, ({ path: written, pluginData, kind }) => {
      if (!isBuiltin(written) || pluginData === 'itself') return undefined
      const path = written.startsWith('node:') ? written : `node:${written}`
      // Who imports it where it is used has it then, with all its names.
      return kind === 'dynamic-import' ? { path, external: true } : { path, namespace: 'builtin' }
    })
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

/** Modules that are used by the same verbs lie in one part; what esbuild calls a chunk. */
interface Part {
  /** An ES module whose source map is in its last line. */
  readonly text: string
  readonly exports: readonly string[]
}

async function buildParts(entry: string): Promise<ReadonlyMap<string, Part>> {
  const { outputFiles, metafile } = await build({
    ...common,
    ...command,
    entryPoints: { start: entry },
    outdir: 'parts',
    format: 'esm',
    splitting: true,
    write: false,
    metafile: true,
    sourcemap: 'inline',
    minifyWhitespace: false,
    define: { 'import.meta.url': 'moduleUrl' },
    plugins: [builtinsWhenUsed],
  })
  return new Map(
    outputFiles.map(({ path, text }) => [basename(path), { text, exports: metafile.outputs[`parts/${basename(path)}`]!.exports }]),
  )
}

/** Puts parts together again, so that each is evaluated when one of its exports is first read. */
const partsWhenUsed = (parts: ReadonlyMap<string, Part>): Plugin => ({
  name: 'parts when they are used',
  setup(esbuild) {
    esbuild.onResolve({ filter: /^\.\/[^/]+\.js$/ }, ({ path }) => ({ path: basename(path), namespace: 'part' }))
    esbuild.onLoad({ filter: /.*/, namespace: 'part' }, async ({ path }) => ({ contents: await asPart(path, parts.get(path)!) }))
  },
})

async function asPart(path: string, { text, exports }: Part): Promise<string> {
  const source = text
    .replaceAll(/\bimport\(("(?:\.\/|node:)[^"]+")\)/g, 'Promise.resolve().then(() => require($1))')
    // The only CommonJS modules are those that stand for Node's, which can be imported from as they are: esbuild copies
    // all their properties for each of our files, 8 ms at each start.
    .replaceAll(/__toESM\((require_\w+)\(\), 1\)/g, '$1()')
  const { code, map } = await transform(source, { format: 'cjs', platform: 'node', sourcefile: path, sourcemap: 'external' })
  // Line by line the same, for the source map.
  const whenUsed = code.replace(
    /^[^]*?__export\(\w+, (\{[^]*?\n\})\);\nmodule\.exports = .*$/m,
    (head, getters: string) =>
      `module.exports = part("${exports.join()}", () => { const getters = ${getters};${'\n'.repeat(lines(head) - lines(getters))}`,
  )
  const contents = exports.length === 0 ? code : `${whenUsed}\nreturn getters })`
  return `${contents}\n//# sourceMappingURL=data:application/json;base64,${Buffer.from(map).toString('base64')}`
}

const lines = (text: string): number => text.split('\n').length

/** What `part` is when the command runs. It counts for `bin/start.cjs`. */
const PART = `const command = exports
const part = (names, evaluate) => {
  const exports = {}
  const load = () => {
    command.partsUsed++
    const getters = evaluate()
    for (const name in getters) Object.defineProperty(exports, name, { value: getters[name]() })
  }
  for (const name of names.split(',')) Object.defineProperty(exports, name, { get: () => (load(), exports[name]), configurable: true })
  return exports
}`

const MODULE_URL = 'const moduleUrl = require("node:url").pathToFileURL(__filename).href'

await rm(`${root}dist`, { recursive: true, force: true })
await build({
  ...common,
  ...command,
  entryPoints: { start: './start.js' },
  format: 'cjs',
  outExtension: { '.js': '.cjs' },
  plugins: [partsWhenUsed(await buildParts('src/cli/start.ts'))],
  banner: { js: `${MODULE_URL}\n${PART}` },
})
// A thread is started from a file, which has to lie beside the one that starts it.
await build({
  ...common,
  ...command,
  entryPoints: { applyWorker: 'src/layer/applyWorker.ts' },
  format: 'cjs',
  outExtension: { '.js': '.cjs' },
  plugins: [builtinsWhenUsed],
  define: { 'import.meta.url': 'moduleUrl' },
  banner: { js: MODULE_URL },
})
// A function, as Node would make of a CommonJS file; `bin/start.cjs` calls it.
const bundled = `(function (exports, require, module, __filename, __dirname) {${await readFile(`${root}dist/start.cjs`, 'utf8')}
})`
// ASCII, so that nobody decodes a megabyte before each command: esbuild escapes strings and leaves regular expressions.
const ascii = bundled.replaceAll(/[^\0-\x7f]/g, unit => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
await writeFile(`${root}dist/start.cjs`, ascii)
// Names what V8 has compiled of it.
await writeFile(`${root}dist/build-id`, createHash('sha256').update(ascii).digest('hex').slice(0, 16))
await build({
  ...common,
  entryPoints: { engine: 'src/engine/index.ts', testing: 'src/testing/index.ts', applyWorker: 'src/layer/applyWorker.ts' },
  format: 'esm',
  splitting: true,
  packages: 'external',
})
