/** What is known of a directory that branches show together. */
export interface MergedDirectory {
  /** The branches whose directories are merged, top first; never empty. */
  readonly branches: readonly number[]
  /** All names, each with the topmost branch that has it; absent until somebody listed them. */
  readonly names?: ReadonlyMap<string, number>
}

/** Names that are remembered in all: about 20 MiB. */
const NAMES = 100_000

/** Remembers merged directories, the least recently used of which are forgotten first. */
export class DirectoryCache {
  readonly #directories = new Map<string, MergedDirectory>()
  #weight = 0

  get(path: string): MergedDirectory | undefined {
    const directory = this.#directories.get(path)
    if (directory === undefined) return undefined
    // The order of a Map is that of insertion: what is used becomes the youngest.
    this.#directories.delete(path)
    this.#directories.set(path, directory)
    return directory
  }

  set(path: string, directory: MergedDirectory): MergedDirectory {
    this.#drop(path)
    // Names of a directory that would push out everything else are looked up instead.
    const kept = weightOf(directory) > NAMES / 2 ? { branches: directory.branches } : directory
    this.#directories.set(path, kept)
    this.#weight += weightOf(kept)
    for (const oldest of this.#directories.keys()) {
      if (this.#weight <= NAMES) break
      this.#drop(oldest)
    }
    return kept
  }

  /** Forgets a path, what is below it, and the names in the directory that it is in. */
  delete(path: string): void {
    const slash = path.lastIndexOf('/')
    const parent = slash === -1 ? '' : path.slice(0, slash)
    const above = this.#directories.get(parent)
    if (above?.names !== undefined) this.set(parent, { branches: above.branches })
    if (!this.#directories.has(path)) return
    const below = path === '' ? '' : `${path}/`
    for (const each of [...this.#directories.keys()]) if (each === path || each.startsWith(below)) this.#drop(each)
  }

  clear(): void {
    this.#directories.clear()
    this.#weight = 0
  }

  #drop(path: string): void {
    const directory = this.#directories.get(path)
    if (directory === undefined) return
    this.#directories.delete(path)
    this.#weight -= weightOf(directory)
  }
}

/** A directory without names costs about as much as some names do. */
function weightOf(directory: MergedDirectory): number {
  return 4 + directory.branches.length / 8 + (directory.names?.size ?? 0)
}
