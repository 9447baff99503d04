import { type FileHandle, open } from 'node:fs/promises'
import { type ByteStream, CHUNK_BYTES, errnoOf, sliceOf } from '../base/index.ts'
import { type DiskContentStore, type Ingest, verified } from '../content/index.ts'
import type { Descriptor } from '../oci/index.ts'
import type { ByteRange } from './byteRange.ts'

/** How long another process is waited for that is writing the same blob. It may itself be waiting for us: a pull through this cache. */
const PATIENCE_MS = 1000

export interface DownloadOptions {
  readonly content: DiskContentStore
  /** The bytes of the blob from `start` on, not verified. */
  readonly fetch: (start: number) => Promise<ByteStream>
  /** Told why the download failed; the next one may go better. */
  readonly onFailure: (error: unknown) => void
  readonly signal: AbortSignal
}

/**
 * One blob on its way into the store, and any number of readers who get it while it comes. What is between them is the
 * file that is being written: a reader may come late, and a slow one holds nobody up. It goes on when they leave.
 * While another process writes that blob, each reader has a fetch of its own, and nothing is stored.
 */
export class Download {
  readonly #target: Descriptor
  readonly #options: DownloadOptions
  /** Where the bytes are until they are a blob. */
  #path: string | undefined
  #size = 0
  #isStored = false
  #isHeldElsewhere = false
  #failure: unknown
  #changed = Promise.withResolvers<void>()
  /** Resolves when it has ended, one way or the other. */
  readonly ended: Promise<void>

  constructor(target: Descriptor, options: DownloadOptions) {
    this.#target = target
    this.#options = options
    this.ended = this.#run().then(
      outcome => {
        this.#isStored = outcome === 'stored'
        this.#isHeldElsewhere = outcome === 'held elsewhere'
        this.#tell()
      },
      (error: unknown) => {
        this.#failure = error
        options.onFailure(error)
        this.#tell()
      },
    )
  }

  /**
   * A part of the blob, as it arrives. The last byte of the blob itself comes when the whole is verified, so nobody gets a
   * whole one that is wrong; parts in the middle cannot be verified, and whoever puts them together does it.
   */
  async *read({ start, end }: ByteRange): AsyncGenerator<Uint8Array> {
    await using file = await this.#openFile()
    if (file === undefined) {
      yield* this.#isHeldElsewhere ? this.#fetched({ start, end }) : this.#stored({ start, end })
      return
    }
    for (let at = start; at <= end;) {
      const bytes = await this.#readAt(file, { start: at, end: Math.min(end, await this.#lastReadable(at)) })
      at += bytes.length
      yield bytes
    }
  }

  async #run(): Promise<'stored' | 'held elsewhere'> {
    const { fetch, signal } = this.#options
    await using ingest = await this.#ingest()
    if (ingest === undefined) return 'held elsewhere'
    if (ingest.stored !== undefined) return 'stored'
    const bytes = await fetch(ingest.size)
    const growing = ingest.growing()
    this.#path = growing.path
    this.#size = ingest.size
    this.#tell()
    const watched = this.#watch(growing.sizes())
    await ingest.write(bytes)
    await watched
    await ingest.commit(this.#target, { signal })
    return 'stored'
  }

  /** Undefined when another process has it open. */
  async #ingest(): Promise<Ingest | undefined> {
    const { content, signal } = this.#options
    const patience = AbortSignal.timeout(PATIENCE_MS)
    try {
      return await content.ingest(this.#target.digest, { target: this.#target, signal: AbortSignal.any([signal, patience]) })
    } catch (error) {
      if (error === patience.reason) return undefined
      throw error
    }
  }

  async #watch(sizes: AsyncIterable<number>): Promise<void> {
    try {
      for await (const size of sizes) {
        this.#size = size
        this.#tell()
      }
    } catch {
      // The writer tells.
    }
  }

  /** The file that is being written; undefined when its blob is stored, or another process writes it. */
  async #openFile(): Promise<FileHandle | undefined> {
    while (this.#path === undefined && !this.#isStored && !this.#isHeldElsewhere) await this.#next()
    if (this.#path === undefined || this.#isStored) return undefined
    try {
      return await open(this.#path, 'r')
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error
    }
    // It has got its name as a blob, or was given up.
    while (!this.#isStored) await this.#next()
    return undefined
  }

  /** Waits until the byte at `at` may be read; gives the last one that may. */
  async #lastReadable(at: number): Promise<number> {
    for (;;) {
      const last = this.#isStored ? this.#target.size - 1 : Math.min(this.#size, this.#target.size - 1) - 1
      if (last >= at) return last
      await this.#next()
    }
  }

  /** Waits until there is something new. */
  async #next(): Promise<void> {
    if (this.#failure === undefined) await this.#changed.promise
    if (this.#failure !== undefined) throw this.#failure
  }

  async #readAt(file: FileHandle, { start, end }: ByteRange): Promise<Uint8Array> {
    const length = Math.min(end - start + 1, 4 * CHUNK_BYTES)
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafeSlow(length), 0, length, start)
    return buffer.subarray(0, bytesRead)
  }

  async *#stored({ start, end }: ByteRange): AsyncGenerator<Uint8Array> {
    let left = end - start + 1
    for await (const chunk of await this.#options.content.open(this.#target, { start })) {
      yield chunk.length > left ? chunk.subarray(0, left) : chunk
      left -= chunk.length
      if (left <= 0) return
    }
  }

  async *#fetched({ start, end }: ByteRange): AsyncGenerator<Uint8Array> {
    const isWhole = start === 0 && end === this.#target.size - 1
    const bytes = await this.#options.fetch(start)
    yield* isWhole ? verified(bytes, this.#target) : sliceOf(bytes, { end: end - start + 1 })
  }

  #tell(): void {
    this.#changed.resolve()
    this.#changed = Promise.withResolvers<void>()
  }
}
