import { type ByteStream, CHUNK_BYTES, StrataError } from '../base/index.ts'
import { quotePath } from './layerPath.ts'

/** Joins small pieces to chunks of a size that is cheap to pass on. */
export class ChunkJoiner {
  #buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES)
  #filled = 0

  /**
   * Adds the content of a file that has said its size already. What a file has grown by is left out.
   *
   * Rejects with `conflict` (STRATA_FILE_CHANGED) when it has become smaller.
   */
  async *addExactly(content: Uint8Array | ByteStream, size: number, path: string): AsyncGenerator<Uint8Array> {
    let left = size
    for await (const chunk of content instanceof Uint8Array ? [content] : content) {
      // Whoever takes a chunk may give its memory back.
      const { length } = chunk
      yield* this.add(chunk.subarray(0, left))
      left -= length
      if (left <= 0) return
    }
    if (left === 0) return
    throw new StrataError('conflict', 'STRATA_FILE_CHANGED', `Cannot pack ${quotePath(path)}: it became smaller while it was read`, {
      hint: 'Pause what writes to it, and try again.',
    })
  }

  /** Gives out what is full. `bytes` may be reused afterwards unless they are more than half a chunk. */
  *add(bytes: Uint8Array): Generator<Uint8Array> {
    if (this.#filled + bytes.length > CHUNK_BYTES) yield* this.end()
    if (bytes.length > CHUNK_BYTES / 2) {
      yield* this.end()
      yield bytes
      return
    }
    this.#buffer.set(bytes, this.#filled)
    this.#filled += bytes.length
  }

  /** Gives out what is left. */
  *end(): Generator<Uint8Array> {
    if (this.#filled === 0) return
    yield this.#buffer.subarray(0, this.#filled)
    this.#buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES)
    this.#filled = 0
  }
}
