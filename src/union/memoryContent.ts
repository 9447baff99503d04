import { CHUNK_BYTES, StrataError } from '../base/index.ts'
import type { FileSource } from './writableTree.ts'

/** What is kept of a file is kept in pieces of this size: 64 KiB. */
const BLOCK = 64 * 1024

/**
 * The content of one file: what was written, in memory, over where the rest comes from. Neither a
 * copy nor a hole takes memory before something is written to it.
 */
export class MemoryContent {
  readonly #source: FileSource | undefined
  /** How much of the source still shows. */
  #sourceSize: number
  readonly #blocks = new Map<number, Buffer>()
  #size: number

  constructor(source?: FileSource) {
    this.#source = source
    this.#sourceSize = source?.size ?? 0
    this.#size = this.#sourceSize
  }

  get size(): number {
    return this.#size
  }

  async write(position: number, bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length;) {
      const index = Math.floor((position + done) / BLOCK)
      const from = position + done - index * BLOCK
      const count = Math.min(BLOCK - from, bytes.length - done)
      const block = await this.#block(index, count === BLOCK)
      block.set(bytes.subarray(done, done + count), from)
      done += count
    }
    if (bytes.length > 0) this.#size = Math.max(this.#size, position + bytes.length)
  }

  truncate(size: number): void {
    this.#sourceSize = Math.min(this.#sourceSize, size)
    if (size < this.#size) {
      for (const [index, block] of this.#blocks) {
        if (index * BLOCK >= size) this.#blocks.delete(index)
        else if ((index + 1) * BLOCK > size) block.fill(0, size - index * BLOCK)
      }
    }
    this.#size = size
  }

  /** The bytes from `start` up to `end`, or to the end of the file. */
  async *read(start: number, end: number): AsyncGenerator<Uint8Array> {
    const last = Math.min(end, this.#size)
    for (let at = start; at < last;) {
      const index = Math.floor(at / BLOCK)
      const block = this.#blocks.get(index)
      const blockEnd = Math.min(last, (index + 1) * BLOCK)
      if (block !== undefined) {
        // A copy, because whoever gets it may keep it while the file changes.
        yield Buffer.from(block.subarray(at - index * BLOCK, blockEnd - index * BLOCK))
        at = blockEnd
        continue
      }
      const runEnd = Math.min(last, this.#nextBlock(index) * BLOCK)
      const sourceEnd = Math.min(runEnd, this.#sourceSize)
      if (at < sourceEnd) yield* this.#sourceBytes(at, sourceEnd)
      yield* zeros(runEnd - Math.max(at, sourceEnd))
      at = runEnd
    }
  }

  /** The first block in memory after a number. */
  #nextBlock(index: number): number {
    let next = Infinity
    for (const each of this.#blocks.keys()) if (each > index && each < next) next = each
    return next
  }

  async #block(index: number, whole: boolean): Promise<Buffer> {
    const known = this.#blocks.get(index)
    if (known !== undefined) return known
    const block = Buffer.alloc(BLOCK)
    const start = index * BLOCK
    const end = Math.min(start + BLOCK, this.#sourceSize)
    if (!whole && start < end) {
      let at = 0
      for await (const chunk of this.#sourceBytes(start, end)) {
        block.set(chunk, at)
        at += chunk.length
      }
    }
    this.#blocks.set(index, block)
    return block
  }

  async *#sourceBytes(start: number, end: number): AsyncGenerator<Uint8Array> {
    let left = end - start
    for await (const chunk of this.#source!.open({ start, end })) {
      const part = chunk.length > left ? chunk.subarray(0, left) : chunk
      left -= part.length
      yield part
      if (left === 0) return
    }
    throw new StrataError('conflict', 'STRATA_FILE_CHANGED', `Cannot read file: what it was copied from became ${left} bytes shorter`)
  }
}

function* zeros(count: number): Generator<Uint8Array> {
  for (let left = count; left > 0; left -= CHUNK_BYTES) yield Buffer.alloc(Math.min(left, CHUNK_BYTES))
}
