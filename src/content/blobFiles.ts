import { lstatSync, mkdirSync, readdirSync, renameSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type Durability, errnoOf, systemError } from '../base/index.ts'
import type { Trash } from '../metadata/index.ts'
import { blobPath, type Digest, isDigest, parseDigest } from '../oci/index.ts'

const ALGORITHMS = ['sha256', 'sha512'] as const

/** The files below `blobs/`. They get and lose their names only inside a transaction of the metadata. */
export class BlobFiles {
  readonly #root: string
  readonly #trash: Trash
  readonly #durability: Durability

  constructor(root: string, trash: Trash, durability: Durability) {
    this.#root = root
    this.#trash = trash
    this.#durability = durability
  }

  path(digest: Digest): string {
    // The type promises a valid digest; a cast must not become a path.
    return join(this.#root, blobPath(parseDigest(digest)))
  }

  /** Tells whether the file is there with so many bytes. A power loss leaves files of a wrong size first of all. */
  hasSize(digest: Digest, size: number): boolean {
    const stats = lstatSync(this.path(digest), { throwIfNoEntry: false })
    return stats !== undefined && stats.isFile() && stats.size === size
  }

  /** Names the file that is there now; a replaced one has another version. Undefined where there is none. */
  version(digest: Digest): string | undefined {
    const stats = lstatSync(this.path(digest), { throwIfNoEntry: false, bigint: true })
    return stats === undefined ? undefined : `${stats.ino}:${stats.ctimeNs}`
  }

  /** Gives synced files the names of their digests, durably. */
  adopt(files: readonly { readonly path: string; readonly digest: Digest }[]): void {
    const directories = new Set<string>()
    for (const { path: partial, digest } of files) {
      const path = this.path(digest)
      const directory = dirname(path)
      try {
        if (mkdirSync(directory, { recursive: true, mode: 0o700 }) !== undefined) directories.add(dirname(directory))
        renameSync(partial, path)
      } catch (error) {
        throw systemError(`store blob "${digest}"`, error)
      }
      directories.add(directory)
    }
    for (const directory of directories) {
      try {
        this.#durability.syncDirectory(directory)
      } catch (error) {
        throw systemError(`write "${directory}"`, error)
      }
    }
  }

  /** Takes the file out of the store. */
  remove(digest: Digest): void {
    this.#trash.moveAside(this.path(digest))
  }

  /** The digests that have a file. */
  digests(): readonly Digest[] {
    return ALGORITHMS.flatMap(algorithm =>
      names(join(this.#root, 'blobs', algorithm))
        .map(name => `${algorithm}:${name}`)
        .filter(isDigest),
    )
  }

  /** Paths below `blobs/` that are no blob's. */
  strangers(): readonly string[] {
    const blobs = join(this.#root, 'blobs')
    return names(blobs).flatMap(algorithm => {
      if (!ALGORITHMS.some(known => known === algorithm)) return [join(blobs, algorithm)]
      return names(join(blobs, algorithm))
        .filter(name => !isDigest(`${algorithm}:${name}`))
        .map(name => join(blobs, algorithm, name))
    })
  }
}

function names(directory: string): readonly string[] {
  try {
    return readdirSync(directory)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return []
    throw systemError(`list "${directory}"`, error)
  }
}
