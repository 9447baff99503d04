import { StrataError } from './errors.ts'
import { fileStream } from './streams.ts'

/**
 * A file that one part of the program writes while another reads it: how far it may be read is told as it grows.
 * Neither waits for the other's pace; what is between them is the file.
 */
export class GrowingFile {
  readonly path: string
  #size = 0
  #ended = false
  #failure: unknown
  #stopped = false
  #changed = Promise.withResolvers<void>()

  constructor(path: string) {
    this.path = path
  }

  /** For the writer: so many bytes can be read now. Throws `cancelled` when the reader has stopped. */
  grow(size: number): void {
    if (this.#stopped) throw new StrataError('cancelled', 'STRATA_CANCELLED', `Cannot go on with "${this.path}": its reader stopped`)
    this.#size = size
    this.#tell()
  }

  /** For the writer: the file is whole. */
  end(): void {
    this.#ended = true
    this.#tell()
  }

  /** For the writer: there comes no more; the reader gets this error. */
  fail(error: unknown): void {
    this.#failure = error
    this.end()
  }

  /** For the reader, once: how many bytes can be read, rising; ends when the file is whole. */
  async *sizes(): AsyncGenerator<number> {
    try {
      for (let told = 0; ;) {
        if (this.#failure !== undefined) throw this.#failure
        if (this.#size > told) yield (told = this.#size)
        else if (this.#ended) return
        else await this.#changed.promise
      }
    } finally {
      this.stop()
    }
  }

  /** For the reader: it will not read on. */
  stop(): void {
    this.#stopped = true
  }

  /** For a reader in this thread, instead: the bytes themselves. */
  async *bytes(): AsyncGenerator<Uint8Array> {
    let at = 0
    for await (const size of this.sizes()) {
      yield* fileStream(this.path, { start: at, end: size })
      at = size
    }
  }

  #tell(): void {
    this.#changed.resolve()
    this.#changed = Promise.withResolvers<void>()
  }
}
