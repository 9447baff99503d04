import { closeSync, constants, fstatSync, ftruncateSync, lstatSync, openSync, readSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { type ByteStream, type Durability, streamOf, systemError } from '../base/index.ts'
import { lockFile, syncFileSystem, tryLockFile } from '../host/index.ts'
import { type Descriptor, type Digest, digestAlgorithm, digestHex, digestOf } from '../oci/index.ts'
import { childrenOf, isDocument, type VerifiedFile } from './ingest.ts'
import { digestMismatch, sizeMismatch } from './verified.ts'

export interface BlobBatchOptions {
  readonly durability: Durability
  /** The bytes of a blob that is stored, which is held from then on; undefined when it is not. */
  readonly read: (target: Descriptor) => Promise<Uint8Array | undefined>
  /** Gives verified files their places and their records, all in one transaction. */
  readonly publish: (files: readonly VerifiedFile[]) => void
}

/** Begins the names of files of small blobs. */
const SMALL = 'small-'
/** Owner only: what is being written is nobody else's business. */
const MODE = 0o600

/** So much waits at most: what waits is lost with the power, and each file has a descriptor. */
const WAITING_BYTES = 8 * 1024 * 1024
const WAITING_FILES = 256

/**
 * Small blobs that become durable and visible together, which waits for the disk three times for all of them and not for each.
 * Disposing leaves those that were not committed to whoever wants them within a day.
 *
 * Of several processes that want the same blob one fetches it. The file of a blob has its name by the digest; who has locked it
 * alone fetches, and then shares the lock until the blob is stored, so that others read the bytes meanwhile, and no
 * collection takes them. Who fetches waits for nobody but the source of the bytes, and who shares hinders nobody who wants to share:
 * so no two processes can wait for each other, in whatever order they want their blobs. To keep the lock alone until the
 * image is whole would need an order, and would make one image wait for all of another that shares one small layer.
 */
export class BlobBatch implements AsyncDisposable {
  readonly #directory: string
  readonly #options: BlobBatchOptions
  readonly #files = new Map<Digest, { readonly verified: VerifiedFile; readonly file: SmallFile }>()
  #bytes = 0

  /** @param directory where the files wait */
  constructor(directory: string, options: BlobBatchOptions) {
    this.#directory = directory
    this.#options = options
  }

  /**
   * Takes a blob, which `commit` stores; when many bytes wait, this does.
   * Rejects with STRATA_SIZE_MISMATCH or STRATA_DIGEST_MISMATCH when the bytes are not what `target` says.
   */
  async add(target: Descriptor, bytes: Uint8Array): Promise<void> {
    verify(target, bytes)
    await this.obtain(target, async () => bytes)
  }

  /**
   * As `add`, for bytes that are fetched only where nobody has them: neither the store nor this batch, no other process
   * that has just fetched them or does so now, and none that was killed. Resolves with the bytes.
   */
  async obtain(target: Descriptor, fetch: () => Promise<Uint8Array>, options: { readonly signal?: AbortSignal } = {}): Promise<Uint8Array> {
    const { digest } = target
    const waiting = this.#files.get(digest)
    if (waiting !== undefined) return waiting.file.read()
    const path = join(this.#directory, `${SMALL}${digestAlgorithm(digest)}-${digestHex(digest)}`)
    let bytes: Uint8Array | undefined
    for (;;) {
      options.signal?.throwIfAborted()
      const file = await SmallFile.open(path, options.signal)
      try {
        const found = file.isThere ? file.find(target) : undefined
        // It was stored, or given up, or is another one's who died: the next look tells.
        if (found === undefined && !(file.isThere && file.isAlone)) continue
        if (found === undefined) {
          const stored = await this.#options.read(target)
          if (stored !== undefined) {
            file.remove()
            return stored
          }
          bytes ??= await fetch()
          verify(target, bytes)
          file.write(bytes)
        }
        // A collection may have been faster.
        if (!file.share()) continue
        bytes = found ?? bytes!
        await this.#take(target, bytes, file)
        return bytes
      } catch (error) {
        if (file.isAlone) file.remove()
        throw error
      } finally {
        if (this.#files.get(digest)?.file !== file) file.close()
      }
    }
  }

  /** The bytes of a blob that waits; undefined where none does. */
  find(digest: Digest): ByteStream | undefined {
    const waiting = this.#files.get(digest)
    return waiting === undefined ? undefined : streamOf(waiting.file.read())
  }

  /** Resolves when all that was added is stored, durably. */
  async commit(): Promise<void> {
    const waiting = [...this.#files.values()]
    const [first] = waiting
    if (first === undefined) return
    this.#files.clear()
    this.#bytes = 0
    try {
      if (this.#options.durability.isWanted) await syncFileSystem(first.file.fd)
      this.#options.publish(waiting.map(({ verified }) => verified))
    } catch (error) {
      throw systemError(`write "${this.#directory}"`, error)
    } finally {
      // Those that still have this name are stored otherwise, or cannot be.
      for (const { file } of waiting) file.remove()
      for (const { file } of waiting) file.close()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { file } of this.#files.values()) file.close()
    this.#files.clear()
  }

  async #take(target: Descriptor, bytes: Uint8Array, file: SmallFile): Promise<void> {
    const { digest, size, mediaType } = target
    if (this.#files.has(digest)) return
    const children = isDocument(mediaType) ? childrenOf(bytes, mediaType) : []
    this.#files.set(digest, { verified: { path: file.path, digest, size, mediaType, children }, file })
    this.#bytes += size
    if (this.#bytes >= WAITING_BYTES || this.#files.size >= WAITING_FILES) await this.commit()
  }
}

function verify(target: Descriptor, bytes: Uint8Array): void {
  const { digest, size } = target
  if (bytes.length !== size) throw sizeMismatch(target, bytes.length)
  const actual = digestOf(bytes, digestAlgorithm(digest))
  if (actual !== digest) throw digestMismatch(digest, actual)
}

/** The file of one small blob, locked: alone by who writes it, else with others. */
class SmallFile {
  readonly path: string
  readonly fd: number
  #isAlone = false
  #isOpen = true

  private constructor(path: string) {
    this.path = path
    try {
      this.fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, MODE)
    } catch (error) {
      throw systemError(`open "${path}"`, error)
    }
  }

  /** Opens it, or makes it, as soon as nobody writes it. */
  static async open(path: string, signal: AbortSignal | undefined): Promise<SmallFile> {
    const file = new SmallFile(path)
    try {
      file.#isAlone = tryLockFile(file.fd, 'exclusive')
      if (!file.#isAlone) await lockFile(file.fd, 'shared', { signal })
      return file
    } catch (error) {
      file.close()
      throw error
    }
  }

  get isAlone(): boolean {
    return this.#isAlone
  }

  /** Whether its name still leads to it: it has gone when the blob was stored, or given up. */
  get isThere(): boolean {
    return lstatSync(this.path, { throwIfNoEntry: false, bigint: true })?.ino === fstatSync(this.fd, { bigint: true }).ino
  }

  /** The bytes of the blob, when they are these. */
  find(target: Descriptor): Uint8Array | undefined {
    if (fstatSync(this.fd).size !== target.size) return undefined
    const bytes = this.read()
    return digestOf(bytes, digestAlgorithm(target.digest)) === target.digest ? bytes : undefined
  }

  read(): Uint8Array {
    const bytes = Buffer.allocUnsafe(fstatSync(this.fd).size)
    for (let done = 0, count = -1; done < bytes.length && count !== 0; done += count)
      count = readSync(this.fd, bytes, done, bytes.length - done, done)
    return bytes
  }

  write(bytes: Uint8Array): void {
    try {
      ftruncateSync(this.fd, 0)
      for (let done = 0; done < bytes.length;) done += writeSync(this.fd, bytes, done, bytes.length - done, done)
    } catch (error) {
      throw systemError(`write "${this.path}"`, error)
    }
  }

  /** Lets others read it; false where somebody has taken it away. */
  share(): boolean {
    // The kernel gives the one lock up before it takes the other. flock(2)
    const isShared = !this.#isAlone || tryLockFile(this.fd, 'shared')
    this.#isAlone = false
    return isShared && this.isThere
  }

  remove(): void {
    if (this.isThere) rmSync(this.path, { force: true })
  }

  /** Gives the lock up. Calling it again does nothing. */
  close(): void {
    if (this.#isOpen) closeSync(this.fd)
    this.#isOpen = false
  }
}
