/*
 * The first JavaScript that `bin/strata` runs. It is neither TypeScript nor an ES module because it turns
 * on the caches without which Node would load its type stripper or its module loader, and compile what it
 * has compiled a thousand times before, each at more cost than everything else here together.
 */
const { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } = require('node:fs')
const { createRequire, enableCompileCache } = require('node:module')
const { dirname } = require('node:path')
const { constants, Script } = require('node:vm')

// Root's cache is not taken from the environment: under sudo that may name a directory that somebody
// else can write. A directory that cannot be written costs time and nothing else.
const cache = `${process.getuid?.() === 0 ? '/var/cache' : (process.env.XDG_CACHE_HOME ?? `${require('node:os').homedir()}/.cache`)}/strata`
enableCompileCache(`${cache}/v8`)

const home = dirname(__dirname)
const built = `${home}/dist/start.cjs`
if (isCurrent()) runBuilt()
else import(`${home}/src/cli/start.ts`).catch(explain)

/** A checkout whose packages are not installed yet gets a sentence. */
function explain(error) {
  const missing = /^Cannot find package '([^']+)'/.exec(error.message)?.[1]
  if (error.code !== 'ERR_MODULE_NOT_FOUND' || missing === undefined) throw error
  process.stderr.write(`strata: Cannot run: the package "${missing}" is missing. Run "npm ci" in ${home}, which brings it.\n`)
  process.exit(1)
}

/** What was built loads faster; in a checkout it is used only while no source is newer. The package has no sources. */
function isCurrent() {
  const builtAt = statSync(built, { throwIfNoEntry: false })?.mtimeMs
  if (builtAt === undefined) return false
  const source = `${home}/src`
  return statSync(source, { throwIfNoEntry: false }) === undefined || isOlder(source, builtAt)
}

/** Whether no source in a directory is newer than `time`. Paths are put together by hand: this runs before every command. */
function isOlder(directory, time) {
  for (const name of readdirSync(directory)) {
    if (name.endsWith('.test.ts')) continue
    const path = `${directory}/${name}`
    // Only files have a dot in their names here.
    if (name.includes('.') ? statSync(path).mtimeMs > time : !isOlder(path, time)) return false
  }
  return true
}

/**
 * Runs the bundle with what V8 has compiled of it before. Node's own cache is taken before a script runs and so
 * knows none of the functions that are compiled when they are first called; ours is taken at the end of the command
 * that has used most parts of the program so far, one for each verb that people wait for.
 */
function runBuilt() {
  const verb =
    process.argv.find(word =>
      /^(run|exec|start|create|images|ps|history|inspect|rmi|pull|load|import|push|save|copy|commit|ls|cat)$/.test(word),
    ) ?? 'others'
  // What arrives from a network or a disk is young garbage to V8: without more and more room for it a pull takes 60 MB less, in the same time.
  if (/^(pull|load|import|push|save)$/.test(verb)) require('node:v8').setFlagsFromString('--semi-space-growth-factor=1')
  // V8 compares no more than the length of the source, and npm gives all files one time.
  const path = `${cache}/compiled/${verb}-${readFileSync(`${home}/dist/build-id`, 'latin1')}-${process.version}-${process.arch}`
  const { cachedData, parts } = readCompiled(path)
  // The build has made it a function: to put one around a megabyte takes longer than to read it.
  const script = new Script(readFileSync(built, 'latin1'), {
    filename: built,
    cachedData,
    importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  })
  const bundle = { exports: { partsUsed: 0 } }
  script.runInThisContext()(bundle.exports, createRequire(built), bundle, built, `${home}/dist`)
  process.once('exit', () => {
    const { partsUsed } = bundle.exports
    if (cachedData === undefined || script.cachedDataRejected || partsUsed > parts) keep(path, verb, { script, partsUsed })
  })
}

/** What V8 gave, and in the last four bytes how many parts of the program had been used by then. */
function compiledFile(script, partsUsed) {
  const count = Buffer.alloc(4)
  count.writeUInt32LE(partsUsed)
  return Buffer.concat([script.createCachedData(), count])
}

function readCompiled(path) {
  try {
    const bytes = readFileSync(path)
    return { cachedData: bytes.subarray(0, -4), parts: bytes.readUInt32LE(bytes.length - 4) }
  } catch {
    return { cachedData: undefined, parts: 0 }
  }
}

/** Leaves what was compiled to later commands, and takes away what builds left that are not used any more. */
function keep(path, verb, { script, partsUsed }) {
  try {
    const directory = `${cache}/compiled`
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    const older = readdirSync(directory).filter(name => name.startsWith(`${verb}-`))
    for (const name of latestFirst(directory, older).slice(5)) rmSync(`${directory}/${name}`, { force: true })
    const partial = `${path}.${process.pid}`
    // V8 believes what it finds there: a file with holes after power loss would crash it.
    writeFileSync(partial, compiledFile(script, partsUsed), { mode: 0o600, flush: wantsFsync() })
    renameSync(partial, path)
  } catch {
    // A directory that cannot be written, a full disk: the next command takes longer, no more.
  }
}

/** As src/cli/globals.ts has it, which is not loaded here: the command may have ended before it read its flags. */
function wantsFsync() {
  return !process.argv.includes('--no-fsync') && process.env.STRATA_NO_FSYNC !== '1'
}

function latestFirst(directory, names) {
  const changedAt = new Map(names.map(name => [name, statSync(`${directory}/${name}`).mtimeMs]))
  return names.sort((a, b) => changedAt.get(b) - changedAt.get(a))
}
