import { type ByteStream, StrataError } from '../base/index.ts'

/** How far the second reader may be behind the first: 1 MiB. */
const BUFFER_BYTES = 1024 * 1024

/**
 * Gives the bytes of one stream to two readers, who must both leave the chunks as they are, at the pace of
 * the slower one. A failure of the source, and a reader that stops early (or is given back without having been read), end both.
 */
export function splitStream(source: ByteStream): readonly [ByteStream, ByteStream] {
  const bytes = source[Symbol.asyncIterator]()
  const queue = new Queue()
  const first: AsyncIterator<Uint8Array, undefined> = {
    async next() {
      try {
        const step = await bytes.next()
        if (step.done === true) queue.end(undefined)
        else if (await queue.put(step.value)) return { done: false, value: step.value }
        else throw stopped()
      } catch (error) {
        queue.end(error)
        await bytes.return?.()
        throw error
      }
      return { done: true, value: undefined }
    },
    async return() {
      queue.end(stopped())
      await bytes.return?.()
      return { done: true, value: undefined }
    },
  }
  const second: AsyncIterator<Uint8Array, undefined> = {
    async next() {
      const chunk = await queue.take()
      return chunk === undefined ? { done: true, value: undefined } : { done: false, value: chunk }
    },
    async return() {
      queue.stop()
      return { done: true, value: undefined }
    },
  }
  return [{ [Symbol.asyncIterator]: () => first }, { [Symbol.asyncIterator]: () => second }]
}

function stopped(): StrataError {
  return new StrataError('cancelled', 'STRATA_CANCELLED', 'Cannot read the stream: its other reader stopped')
}

/** Chunks on their way from the first reader to the second. */
class Queue {
  readonly #chunks: Uint8Array[] = []
  #bytes = 0
  #ended = false
  #failure: unknown
  #stopped = false
  #changed = Promise.withResolvers<void>()

  /** Resolves when there is room for more; with false when nobody takes any more. */
  async put(chunk: Uint8Array): Promise<boolean> {
    this.#chunks.push(chunk)
    this.#bytes += chunk.length
    this.#tell()
    while (this.#bytes > BUFFER_BYTES && !this.#stopped) await this.#changed.promise
    return !this.#stopped
  }

  /** The next chunk; undefined at the end. Rejects with what the stream ended with. */
  async take(): Promise<Uint8Array | undefined> {
    for (;;) {
      if (this.#ended && this.#failure !== undefined) throw this.#failure
      const chunk = this.#chunks.shift()
      if (chunk !== undefined) {
        this.#bytes -= chunk.length
        this.#tell()
        return chunk
      }
      if (this.#ended) return undefined
      await this.#changed.promise
    }
  }

  end(failure: unknown): void {
    if (this.#ended) return
    this.#ended = true
    this.#failure = failure
    this.#tell()
  }

  stop(): void {
    this.#stopped = true
    this.#chunks.length = 0
    this.#tell()
  }

  #tell(): void {
    this.#changed.resolve()
    this.#changed = Promise.withResolvers<void>()
  }
}
