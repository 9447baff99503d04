import { createHash, type Hash } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, open, rm, stat } from 'node:fs/promises'
import { type ByteStream, CHUNK_BYTES, type Durability, errnoOf, systemError } from '../base/index.ts'
import { close, CURRENT_DIRECTORY, lockFile, openAt, tryLockFile, Writeback } from '../host/index.ts'
import type { DigestAlgorithm } from '../oci/index.ts'

/** Chunks of at most this many bytes, as sockets give them, are gathered before they are written. */
const SMALL_CHUNK_BYTES = 64 * 1024
/** Owner only: what is being written is nobody else's business. */
const MODE = 0o600

interface PartialFileOptions {
  readonly algorithm: DigestAlgorithm
  readonly durability: Durability
}

/** A file that grows and knows the hash of its content. */
export class PartialFile implements AsyncDisposable {
  readonly path: string
  readonly #handle: FileHandle
  readonly #algorithm: DigestAlgorithm
  readonly #durability: Durability
  /** Absent when the file is not synced in the end. */
  readonly #writeback: Writeback | undefined
  #hash: Hash
  #size = 0
  /** Copies of small chunks that wait; they are part of hash and size already. */
  readonly #gathered: Buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES)
  #gatheredBytes = 0
  #open = true
  #broken = false
  #onWritten: (size: number) => void = () => undefined

  private constructor(path: string, handle: FileHandle, { algorithm, durability }: PartialFileOptions) {
    this.path = path
    this.#handle = handle
    this.#algorithm = algorithm
    this.#durability = durability
    if (durability.isWanted) this.#writeback = new Writeback(handle.fd)
    this.#hash = createHash(algorithm)
  }

  /**
   * Begins a file that must not exist, and locks it as `resume` does.
   *
   * @returns undefined when a collection took it before it was locked
   */
  static async create(path: string, options: PartialFileOptions): Promise<PartialFile | undefined> {
    const handle = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, MODE)
    try {
      await lockFile(handle.fd, 'exclusive')
      if (await isStillAt(path, handle)) return new PartialFile(path, handle, options)
    } catch (error) {
      await handle.close()
      throw error
    }
    await handle.close()
    return undefined
  }

  /**
   * Opens a file, or begins it, as soon as no other process has it open here, and hashes what it holds.
   * The lock is the kernel's (flock): a process that is killed gives it up.
   *
   * @returns undefined when the file that was waited for has gone: it was committed or discarded
   */
  static async resume(path: string, options: PartialFileOptions, signal?: AbortSignal): Promise<PartialFile | undefined> {
    const handle = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, MODE)
    try {
      await lockFile(handle.fd, 'exclusive', signal === undefined ? {} : { signal })
      if (!(await isStillAt(path, handle))) {
        await handle.close()
        return undefined
      }
      const file = new PartialFile(path, handle, options)
      await file.#readBack()
      return file
    } catch (error) {
      await handle.close()
      throw error
    }
  }

  /** Bytes written so far. */
  get size(): number {
    return this.#size
  }

  /** The disk refused a write: what is there is not what the hash says, and the file is to be discarded. */
  get broken(): boolean {
    return this.#broken
  }

  /**
   * Appends. A chunk is not used any more when the next one is asked for: it may be handed to another thread then.
   *
   * @param limit the most bytes that the file may have
   * @param onWritten told how many bytes the file has, as it grows; what it throws ends the writing
   * @returns false when the stream has more bytes than that; nothing more is read then
   */
  async write(bytes: ByteStream, limit: number, onWritten: (size: number) => void = () => undefined): Promise<boolean> {
    this.#onWritten = onWritten
    try {
      for await (const chunk of bytes) {
        if (this.#size + chunk.length > limit) return false
        await this.#append(chunk)
      }
    } finally {
      await this.#flush()
    }
    return true
  }

  /** The hash of the content, in hexadecimal. */
  digestHex(): string {
    return this.#hash.copy().digest('hex')
  }

  /** The hash of the content by any algorithm; reads the file where it is not the one that it was opened with. */
  async digestHexBy(algorithm: DigestAlgorithm): Promise<string> {
    if (algorithm === this.#algorithm) return this.digestHex()
    const hash = createHash(algorithm)
    for await (const chunk of this.#content()) hash.update(chunk)
    return hash.digest('hex')
  }

  /** The whole content; for documents, which are small. */
  async read(): Promise<Buffer> {
    const chunks: Uint8Array[] = []
    for await (const chunk of this.#content()) chunks.push(chunk)
    return Buffer.concat(chunks)
  }

  /** Makes the content survive power loss, where that is wanted. */
  async sync(): Promise<void> {
    await this.#write(() => this.#durability.syncFile(this.#handle))
  }

  /** Starts again with nothing. */
  async truncate(): Promise<void> {
    await this.#handle.truncate(0)
    this.#hash = createHash(this.#algorithm)
    this.#size = 0
  }

  /** Deletes the file and closes it, in this order: who waits for the lock finds no file. */
  async discard(): Promise<void> {
    if (this.#open) await rm(this.path, { force: true })
    await this.close()
  }

  /** Closes the file and gives up the lock. */
  async close(): Promise<void> {
    if (!this.#open) return
    this.#open = false
    await this.#writeback?.end()
    await this.#handle.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #append(chunk: Uint8Array): Promise<void> {
    const isSmall = chunk.length <= SMALL_CHUNK_BYTES
    if (!isSmall || this.#gatheredBytes + chunk.length > CHUNK_BYTES) await this.#flush()
    this.#size += chunk.length
    if (isSmall) {
      this.#hash.update(chunk)
      this.#gathered.set(chunk, this.#gatheredBytes)
      this.#gatheredBytes += chunk.length
      return
    }
    // The disk and the hash work at the same time.
    const written = this.#writeAt(chunk, this.#size - chunk.length)
    this.#hash.update(chunk)
    await written
    this.#onWritten(this.#size)
  }

  async #flush(): Promise<void> {
    const bytes = this.#gatheredBytes
    if (bytes === 0) return
    this.#gatheredBytes = 0
    await this.#writeAt(this.#gathered.subarray(0, bytes), this.#size - bytes)
    this.#onWritten(this.#size)
  }

  async #writeAt(bytes: Uint8Array, position: number): Promise<void> {
    let rest = bytes
    let at = position
    while (rest.length > 0) {
      const { bytesWritten } = await this.#write(() => this.#handle.write(rest, 0, rest.length, at))
      rest = rest.subarray(bytesWritten)
      at += bytesWritten
    }
    this.#writeback?.grown(at)
  }

  async #write<Result>(call: () => Promise<Result>): Promise<Result> {
    try {
      return await call()
    } catch (error) {
      this.#broken = true
      throw systemError(`write "${this.path}"`, error)
    }
  }

  async #readBack(): Promise<void> {
    for await (const chunk of this.#content()) {
      this.#hash.update(chunk)
      this.#size += chunk.length
    }
  }

  async *#content(): AsyncGenerator<Uint8Array, void> {
    for (let at = 0; ;) {
      const { bytesRead, buffer } = await this.#handle.read(Buffer.allocUnsafe(CHUNK_BYTES), 0, CHUNK_BYTES, at)
      if (bytesRead === 0) return
      at += bytesRead
      yield buffer.subarray(0, bytesRead)
    }
  }
}

/** Does `work` while nobody else has the file open here; returns false where somebody has it, or it is gone. */
export function whenFree(path: string, work: () => void): boolean {
  let fd: number
  try {
    fd = openAt(CURRENT_DIRECTORY, path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false
    throw systemError(`open "${path}"`, error)
  }
  try {
    if (!tryLockFile(fd, 'exclusive')) return false
    work()
    return true
  } finally {
    close(fd)
  }
}

async function isStillAt(path: string, handle: FileHandle): Promise<boolean> {
  try {
    return (await stat(path, { bigint: true })).ino === (await handle.stat({ bigint: true })).ino
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false
    throw error
  }
}
