import { hash, randomBytes } from 'node:crypto'
import { lstatSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { type Durability, errnoOf, StrataError, systemError } from '../base/index.ts'
import { type Descriptor, digestAlgorithm } from '../oci/index.ts'
import { DiskIngest, type Publish, StoredIngest } from './ingest.ts'
import { PartialFile, whenFree } from './partialFile.ts'
import type { BlobInfo, CommitOptions, Ingest, IngestOptions } from './store.ts'

/** Who wants to resume does so within a day. */
const ABANDONED_AFTER_MS = 24 * 60 * 60 * 1000

/** Begins the names of partial files that nobody resumes: no key leads to them. */
const ONCE = 'put-'

export interface IngestDirectoryOptions {
  readonly durability: Durability
  readonly publish: Publish
  /** The blob, when its bytes are stored; then the lease, if any, holds it. */
  readonly find: (target: Descriptor, options: CommitOptions) => BlobInfo | undefined
}

/** The directory of what is being written: one partial file for each ingest. */
export class IngestDirectory {
  readonly path: string
  readonly #options: IngestDirectoryOptions

  constructor(path: string, options: IngestDirectoryOptions) {
    this.path = path
    this.#options = options
  }

  /** Begins an ingest that nobody resumes: bytes that cannot be had from the middle. */
  async begin(target: Descriptor): Promise<Ingest> {
    for (;;) {
      const key = randomBytes(16).toString('hex')
      const path = join(this.path, `${ONCE}${key}`)
      try {
        const file = await PartialFile.create(path, { algorithm: digestAlgorithm(target.digest), durability: this.#options.durability })
        if (file !== undefined) return new DiskIngest(key, file, { target, publish: this.#options.publish })
      } catch (error) {
        throw systemError(`create "${path}"`, error)
      }
    }
  }

  /** Begins or resumes the ingest of a key, after other processes that have it open. */
  async resume(key: string, options: IngestOptions): Promise<Ingest> {
    const { target, isAnew = false, signal } = options
    const path = join(this.path, nameOf(key))
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
      if (isAnew || (target !== undefined && file.size > target.size)) await file.truncate()
      return new DiskIngest(key, file, { target, publish: this.#options.publish })
    }
  }

  /**
   * Names of partial files that no process has open and nobody resumes any more.
   *
   * @param interrupted true: also those that could still be resumed
   */
  abandoned(interrupted: boolean): readonly string[] {
    const before = Date.now() - ABANDONED_AFTER_MS
    return this.#names().filter(name => {
      const path = join(this.path, name)
      const stats = lstatSync(path, { throwIfNoEntry: false })
      if (stats === undefined) return false
      const mayBeResumed = !interrupted && !name.startsWith(ONCE) && stats.mtimeMs >= before
      return !mayBeResumed && whenFree(path, () => undefined)
    })
  }

  /** What killed writes have left, by its name, and how many bytes that is: it can be resumed, or collected. */
  interrupted(): readonly { readonly name: string; readonly bytes: number }[] {
    return this.abandoned(true).map(name => ({ name, bytes: lstatSync(join(this.path, name), { throwIfNoEntry: false })?.size ?? 0 }))
  }

  /** Deletes what an ingest of this key has left, unless a process has it open. */
  discard(key: string): void {
    this.delete(nameOf(key))
  }

  /** Deletes a partial file, by its name, unless a process has opened it meanwhile. */
  delete(name: string): void {
    const path = join(this.path, name)
    whenFree(path, () => rmSync(path, { recursive: true, force: true }))
  }

  async #open(path: string, { target, signal }: IngestOptions): Promise<PartialFile | undefined> {
    try {
      const algorithm = target === undefined ? 'sha256' : digestAlgorithm(target.digest)
      return await PartialFile.resume(path, { algorithm, durability: this.#options.durability }, signal)
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
      return readdirSync(this.path)
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return []
      throw systemError(`list "${this.path}"`, error)
    }
  }
}

/** A key is any text; its hash is a file name. */
const nameOf = (key: string): string => hash('sha256', key)

function goneMeanwhile(target: Descriptor): StrataError {
  return new StrataError('conflict', 'STRATA_BLOB_COLLECTED', `Cannot use blob "${target.digest}": it was removed meanwhile`, {
    hint: 'Try again.',
  })
}
