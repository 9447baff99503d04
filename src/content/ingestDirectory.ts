import { hash, randomBytes } from 'node:crypto'
import { lstatSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { errnoOf, StrataError, systemError } from '../base/index.ts'
import { type Descriptor, digestAlgorithm } from '../oci/index.ts'
import { DiskIngest, type Publish, StoredIngest } from './ingest.ts'
import { PartialFile } from './partialFile.ts'
import type { BlobInfo, CommitOptions, Ingest, IngestOptions } from './store.ts'

/** A partial file that nobody wrote to for a day is nobody's. */
const ABANDONED_AFTER_MS = 24 * 60 * 60 * 1000

export interface IngestDirectoryOptions {
  readonly publish: Publish
  /** The blob, when its bytes are stored; then the lease, if any, holds it. */
  readonly find: (target: Descriptor, options: CommitOptions) => BlobInfo | undefined
}

/** The directory of what is being written: one partial file for each ingest. */
export class IngestDirectory {
  readonly #path: string
  readonly #options: IngestDirectoryOptions

  constructor(path: string, options: IngestDirectoryOptions) {
    this.#path = path
    this.#options = options
  }

  /** Begins an ingest that nobody resumes: bytes that cannot be had from the middle. */
  async begin(target: Descriptor): Promise<Ingest> {
    const key = randomBytes(16).toString('hex')
    const path = join(this.#path, `put-${key}`)
    try {
      const file = await PartialFile.create(path, digestAlgorithm(target.digest))
      return new DiskIngest(key, file, { target, publish: this.#options.publish })
    } catch (error) {
      throw systemError(`create "${path}"`, error)
    }
  }

  /** Begins or resumes the ingest of a key, after other processes that have it open. */
  async resume(key: string, options: IngestOptions): Promise<Ingest> {
    const { target, signal } = options
    // A key is any text; its hash is a file name.
    const path = join(this.#path, hash('sha256', key))
    for (;;) {
      signal?.throwIfAborted()
      const stored = this.#stored(key, target)
      if (stored !== undefined) return stored
      const file = await this.#open(path, options)
      if (file === undefined) continue
      const storedMeanwhile = this.#stored(key, target)
      if (storedMeanwhile !== undefined) {
        await file.discard()
        return storedMeanwhile
      }
      if (target !== undefined && file.size > target.size) await file.truncate()
      return new DiskIngest(key, file, { target, publish: this.#options.publish })
    }
  }

  /** Names of partial files that nobody resumes any more. */
  abandoned(): readonly string[] {
    const before = Date.now() - ABANDONED_AFTER_MS
    return this.#names().filter(name => {
      const stats = lstatSync(join(this.#path, name), { throwIfNoEntry: false })
      return stats !== undefined && stats.mtimeMs < before
    })
  }

  /** Deletes a partial file, by its name. */
  delete(name: string): void {
    rmSync(join(this.#path, name), { recursive: true, force: true })
  }

  async #open(path: string, { target, signal }: IngestOptions): Promise<PartialFile | undefined> {
    try {
      return await PartialFile.resume(path, target === undefined ? 'sha256' : digestAlgorithm(target.digest), signal)
    } catch (error) {
      signal?.throwIfAborted()
      throw systemError(`open "${path}"`, error)
    }
  }

  #stored(key: string, target: Descriptor | undefined): StoredIngest | undefined {
    const blob = target === undefined ? undefined : this.#options.find(target, {})
    if (target === undefined || blob === undefined) return undefined
    return new StoredIngest(key, blob, options => {
      if (this.#options.find(target, options) === undefined) throw goneMeanwhile(target)
    })
  }

  #names(): readonly string[] {
    try {
      return readdirSync(this.#path)
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return []
      throw systemError(`list "${this.#path}"`, error)
    }
  }
}

function goneMeanwhile(target: Descriptor): StrataError {
  return new StrataError('conflict', 'STRATA_BLOB_COLLECTED', `Cannot use blob "${target.digest}": it was removed meanwhile`, {
    hint: 'Try again.',
  })
}
