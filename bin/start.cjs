/*
 * The first JavaScript that `bin/strata` runs. It is neither TypeScript nor an ES module because it turns
 * on the cache without which Node would load its type stripper or its module loader, each at more cost
 * than everything else here together.
 */
const { readdirSync, statSync } = require('node:fs')
const { enableCompileCache } = require('node:module')
const { homedir } = require('node:os')
const { join } = require('node:path')

// Root's cache is not taken from the environment: under sudo that may name a directory that somebody
// else can write. A directory that cannot be written costs time and nothing else.
const cache = process.getuid?.() === 0 ? '/var/cache' : (process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'))
enableCompileCache(join(cache, 'strata', 'v8', cacheName()))

const home = join(__dirname, '..')
if (isCurrent()) require(join(home, 'dist/start.cjs'))
else import(join(home, 'src/cli/start.ts')).catch(explain)

/** A checkout whose packages are not installed yet gets a sentence. */
function explain(error) {
  const missing = /^Cannot find package '([^']+)'/.exec(error.message)?.[1]
  if (error.code !== 'ERR_MODULE_NOT_FOUND' || missing === undefined) throw error
  process.stderr.write(`strata: Cannot run: the package "${missing}" is missing. Run "npm ci" in ${home}, which brings it.\n`)
  process.exit(1)
}

/** Node caches what the first command to find no cache has compiled and never adds to it, so the verbs that people wait for have one each. */
function cacheName() {
  const verb = process.argv.find(word => /^(run|exec|start|create|images|ps|history|inspect|rmi|pull|load|commit)$/.test(word))
  return verb ?? 'others'
}

/** What was built loads faster; in a checkout it is used only while no source is newer. The package has no sources. */
function isCurrent() {
  const builtAt = statSync(join(home, 'dist/start.cjs'), { throwIfNoEntry: false })?.mtimeMs
  if (builtAt === undefined) return false
  const source = join(home, 'src')
  return statSync(source, { throwIfNoEntry: false }) === undefined || isOlder(source, builtAt)
}

/** Whether no source in a directory is newer than `time`. Paths are put together by hand: this runs before every command. */
function isOlder(directory, time) {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = `${directory}/${entry.name}`
    if (entry.isDirectory()) {
      if (!isOlder(path, time)) return false
    } else if (!entry.name.endsWith('.test.ts') && statSync(path).mtimeMs > time) return false
  }
  return true
}
