import { homedir } from 'node:os'
import { join } from 'node:path'

const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache')

/** What benchmarks keep between runs, outside the repository: images, the registry's store, the disks of stores. */
export const BENCH_CACHE: string = join(cache, 'strata-bench')

/** The root in which the peers are installed. */
export const PEERS_ROOT: string = join(cache, 'strata-peers', 'root')

export const PROJECT: string = join(import.meta.dirname, '..')
