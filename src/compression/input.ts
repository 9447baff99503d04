import type { ByteStream } from '../base/index.ts'

/**
 * Reads a stream of bytes in the pieces that a decoder wants; what it did not use is put back. A chunk of the stream
 * is not looked at any more once the next is asked for: its memory may be another's by then.
 */
export class Input {
  readonly #source: AsyncIterator<Uint8Array>
  #buffer: Uint8Array = new Uint8Array(0)
  #ended = false
  /** Bytes that the source has given so far. */
  bytesRead = 0
  /** What the source rejected with, if it did. */
  sourceError: unknown

  constructor(bytes: ByteStream) {
    this.#source = bytes[Symbol.asyncIterator]()
  }

  /** The next bytes, as many as there are at hand, at least one; undefined at the end. */
  async next(): Promise<Uint8Array | undefined> {
    while (this.#buffer.length === 0) {
      const chunk = await this.#pull()
      if (chunk === undefined) return undefined
      this.#buffer = chunk
    }
    const bytes = this.#buffer
    this.#buffer = bytes.subarray(bytes.length)
    return bytes
  }

  /** Puts back the unused end of what `next` or `exactly` gave. */
  unread(bytes: Uint8Array): void {
    this.#buffer = this.#buffer.length === 0 ? bytes : Buffer.concat([bytes, this.#buffer])
  }

  /** Looks at the next `count` bytes without taking them; gives fewer only at the end, and perhaps more. */
  async peek(count: number): Promise<Uint8Array> {
    if (this.#buffer.length >= count) return this.#buffer
    const chunks = [Buffer.from(this.#buffer)]
    let size = this.#buffer.length
    while (size < count) {
      const chunk = await this.#pull()
      if (chunk === undefined) break
      chunks.push(Buffer.from(chunk))
      size += chunk.length
    }
    this.#buffer = Buffer.concat(chunks)
    return this.#buffer
  }

  /** Drops bytes that `peek` has shown. */
  skip(count: number): void {
    this.#buffer = this.#buffer.subarray(count)
  }

  /** Takes exactly `count` bytes; undefined, and everything taken, when there are fewer. */
  async exactly(count: number): Promise<Uint8Array | undefined> {
    const bytes = (await this.peek(count)).subarray(0, count)
    this.skip(bytes.length)
    return bytes.length === count ? bytes : undefined
  }

  /** Reads the source to its end: an unread tail is an unverified one. */
  async drain(): Promise<void> {
    this.#buffer = new Uint8Array(0)
    while ((await this.#pull()) !== undefined);
  }

  async close(): Promise<void> {
    if (this.#ended) return
    this.#ended = true
    await this.#source.return?.()
  }

  async #pull(): Promise<Uint8Array | undefined> {
    if (this.#ended) return undefined
    try {
      const result = await this.#source.next()
      if (result.done !== true) {
        this.bytesRead += result.value.length
        return result.value
      }
    } catch (error) {
      this.#ended = true
      this.sourceError = error
      throw error
    }
    this.#ended = true
    return undefined
  }
}
