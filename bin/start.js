/*
 * The first JavaScript that `bin/strata` runs. It is not TypeScript because it turns on the cache
 * without which Node would load its type stripper, at more cost than everything else here together.
 */
import { existsSync, readdirSync, statSync } from 'node:fs'
import { enableCompileCache } from 'node:module'
import { homedir } from 'node:os'
import { join } from 'node:path'

// Root's cache is not taken from the environment: under sudo that may name a directory that somebody
// else can write. A directory that cannot be written costs time and nothing else.
const cache = process.getuid?.() === 0 ? '/var/cache' : (process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'))
enableCompileCache(join(cache, 'strata', 'v8'))

const source = new URL('../src/', import.meta.url)
const built = new URL('../dist/start.js', import.meta.url)
await import(isCurrent() ? built.href : new URL('cli/start.ts', source).href)

/** What was built loads faster; in a checkout it is used only while no source is newer. The package has no sources. */
function isCurrent() {
  const builtAt = statSync(built, { throwIfNoEntry: false })?.mtimeMs
  if (builtAt === undefined) return false
  if (!existsSync(source)) return true
  return readdirSync(source, { recursive: true }).every(name => statSync(new URL(name, source)).mtimeMs <= builtAt)
}
