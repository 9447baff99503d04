import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { type ByteStream, type Durability, streamOf, systemError } from '../base/index.ts'
import { close, lockDirectory, syncFileSystem } from '../host/index.ts'
import { type Descriptor, type Digest, digestAlgorithm, digestHex, digestOf } from '../oci/index.ts'
import { childrenOf, isDocument, type VerifiedFile } from './ingest.ts'
import { digestMismatch, sizeMismatch } from './verified.ts'

export interface BlobBatchOptions {
  readonly durability: Durability
  /** Gives verified files their places and their records, all in one transaction. */
  readonly publish: (files: readonly VerifiedFile[]) => void
}

/** A directory that belongs to this process until `close`, with the files that wait in it. */
interface Shelf {
  readonly path: string
  readonly lock: number
  readonly files: Map<Digest, VerifiedFile>
}

/** So many bytes wait at most: a process that is killed has fetched them in vain. */
const WAITING_BYTES = 8 * 1024 * 1024

/**
 * Small blobs that become durable and visible together, which waits for the disk three times for all of them and not for each.
 * Disposing forgets those that were not committed.
 */
export class BlobBatch implements AsyncDisposable {
  readonly #prefix: string
  readonly #options: BlobBatchOptions
  #shelf: Shelf | undefined
  #bytes = 0

  /** @param prefix begins the paths of directories that nobody resumes */
  constructor(prefix: string, options: BlobBatchOptions) {
    this.#prefix = prefix
    this.#options = options
  }

  /**
   * Takes a blob, which `commit` stores; when many bytes wait, this does.
   * Rejects with STRATA_SIZE_MISMATCH or STRATA_DIGEST_MISMATCH when the bytes are not what `target` says.
   */
  async add(target: Descriptor, bytes: Uint8Array): Promise<void> {
    const { digest, size, mediaType } = target
    if (bytes.length !== size) throw sizeMismatch(target, bytes.length)
    const actual = digestOf(bytes, digestAlgorithm(digest))
    if (actual !== digest) throw digestMismatch(digest, actual)
    const children = isDocument(mediaType) ? childrenOf(bytes, mediaType) : []
    this.#shelf ??= this.#makeShelf()
    const { files } = this.#shelf
    if (files.has(digest)) return
    const path = join(this.#shelf.path, `${digestAlgorithm(digest)}-${digestHex(digest)}`)
    try {
      writeFile(path, bytes)
    } catch (error) {
      throw systemError(`write "${path}"`, error)
    }
    files.set(digest, { path, digest, size, mediaType, children })
    this.#bytes += size
    if (this.#bytes >= WAITING_BYTES) await this.commit()
  }

  /** The bytes of a blob that waits; undefined where none does. */
  find(digest: Digest): ByteStream | undefined {
    const file = this.#shelf?.files.get(digest)
    return file === undefined ? undefined : streamOf(readFileSync(file.path))
  }

  /** Resolves when all that was added is stored, durably. */
  async commit(): Promise<void> {
    const shelf = this.#shelf
    if (shelf === undefined) return
    this.#shelf = undefined
    this.#bytes = 0
    try {
      if (this.#options.durability.isWanted) await syncFileSystem(shelf.lock)
      this.#options.publish([...shelf.files.values()])
    } catch (error) {
      throw systemError(`write "${shelf.path}"`, error)
    } finally {
      remove(shelf)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#shelf !== undefined) remove(this.#shelf)
    this.#shelf = undefined
  }

  #makeShelf(): Shelf {
    for (;;) {
      const path = `${this.#prefix}${randomBytes(16).toString('hex')}`
      try {
        mkdirSync(path, { mode: 0o700 })
        const lock = lockDirectory(path)
        // Undefined when a collection looked at it, or took it, before it was locked.
        if (lock !== undefined) return { path, lock, files: new Map() }
      } catch (error) {
        throw systemError(`create "${path}"`, error)
      }
    }
  }
}

function writeFile(path: string, bytes: Uint8Array): void {
  const fd = openSync(path, 'wx', 0o600)
  try {
    for (let done = 0; done < bytes.length;) done += writeSync(fd, bytes, done)
  } finally {
    closeSync(fd)
  }
}

function remove({ path, lock }: Shelf): void {
  rmSync(path, { recursive: true, force: true })
  close(lock)
}
