/*
 * The first JavaScript that `bin/strata` runs. It is not TypeScript because it turns on the cache
 * without which Node would load its type stripper, at more cost than everything else here together.
 */
import { readdirSync, statSync } from 'node:fs'
import { enableCompileCache } from 'node:module'
import { homedir } from 'node:os'
import { join } from 'node:path'

// Root's cache is not taken from the environment: under sudo that may name a directory that somebody
// else can write. A directory that cannot be written costs time and nothing else.
const cache = process.getuid?.() === 0 ? '/var/cache' : (process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'))
enableCompileCache(join(cache, 'strata', 'v8'))

const home = join(import.meta.dirname, '..')
await import(join(home, isCurrent() ? 'dist/start.js' : 'src/cli/start.ts'))

/** What was built loads faster; in a checkout it is used only while no source is newer. The package has no sources. */
function isCurrent() {
  const builtAt = statSync(join(home, 'dist/start.js'), { throwIfNoEntry: false })?.mtimeMs
  if (builtAt === undefined) return false
  const source = join(home, 'src')
  return statSync(source, { throwIfNoEntry: false }) === undefined || isOlder(source, builtAt)
}

/** Whether nothing in a directory is newer than `time`. Paths are put together by hand: this runs before every command. */
function isOlder(directory, time) {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = `${directory}/${entry.name}`
    if (entry.isDirectory() ? !isOlder(path, time) : statSync(path).mtimeMs > time) return false
  }
  return true
}
