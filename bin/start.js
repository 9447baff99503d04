/*
 * The first JavaScript that `bin/strata` runs. It is not TypeScript because it turns on the cache
 * without which Node would load its type stripper, at more cost than everything else here together.
 */
import { existsSync } from 'node:fs'
import { enableCompileCache } from 'node:module'
import { homedir } from 'node:os'
import { join } from 'node:path'

// Root's cache is not taken from the environment: under sudo that may name a directory that somebody
// else can write. A directory that cannot be written costs time and nothing else.
const cache = process.getuid?.() === 0 ? '/var/cache' : (process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'))
enableCompileCache(join(cache, 'strata', 'v8'))

// A checkout has sources, and they are never older than what was built from them; the package has none.
const source = new URL('../src/cli/start.ts', import.meta.url)
await import(existsSync(source) ? source.href : new URL('../dist/cli/start.js', import.meta.url).href)
