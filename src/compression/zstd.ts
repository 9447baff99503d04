import { constants, createZstdDecompress, zstdDecompressSync } from 'node:zlib'
import { CHUNK_BYTES } from '../base/index.ts'
import { ByteWalk } from './byteWalk.ts'
import { corrupt, overLimit, truncated } from './failures.ts'
import type { Input } from './input.ts'
import { transformed } from './transform.ts'

/*
 * RFC 8878. Node's decoder drops everything behind the first frame when that is in the same chunk, and
 * says nothing; so frames are walked here and a decoder gets exactly one.
 */

const MAGIC = 0xfd2fb528
const SKIPPABLE_MAGIC = 0x184d2a50
const LARGEST_BLOCK = 128 * 1024

/** Frames with at most this content go without a stream: zstd:chunked layers have one per file. */
const SMALL_FRAME_BYTES = 256 * 1024

/** Decompresses zstd: any number of frames and skippable frames; what follows them is skipped. */
export async function* unzstd(input: Input, windowBytes: number): AsyncGenerator<Uint8Array> {
  for (;;) {
    const start = await input.peek(8)
    const magic = start.length < 4 ? 0 : new DataView(start.buffer, start.byteOffset).getUint32(0, true)
    if (magic === MAGIC) {
      yield* frame(input, windowBytes)
    } else if ((magic & 0xfffffff0) >>> 0 === SKIPPABLE_MAGIC) {
      if (start.length < 8) throw truncated('zstd')
      const size = new DataView(start.buffer, start.byteOffset).getUint32(4, true)
      input.skip(8)
      await skip(input, size)
    } else if (isStartOfMagic(start)) {
      throw truncated('zstd')
    } else {
      return
    }
  }
}

async function* frame(input: Input, windowBytes: number): AsyncGenerator<Uint8Array> {
  const walk = new FrameWalk(windowBytes)
  const next = async (): Promise<Uint8Array | undefined> => {
    if (walk.done) return undefined
    const bytes = await input.next()
    if (bytes === undefined) throw truncated('zstd')
    const used = walk.take(bytes)
    if (used < bytes.length) input.unread(bytes.subarray(used))
    return bytes.subarray(0, used)
  }
  const first = await next()
  if (first !== undefined && walk.done && walk.contentBytes <= SMALL_FRAME_BYTES) {
    const chunkSize = Math.max(walk.contentBytes, constants.Z_MIN_CHUNK)
    const content = zstdDecompressSync(first, { chunkSize, maxOutputLength: SMALL_FRAME_BYTES })
    if (content.length > 0) yield content
    return
  }
  const windowLog = Math.min(31, Math.max(10, Math.ceil(Math.log2(windowBytes))))
  const engine = createZstdDecompress({ chunkSize: CHUNK_BYTES, params: { [constants.ZSTD_d_windowLogMax]: windowLog } })
  let isFirst = true
  yield* transformed(engine, {
    next: async () => {
      if (!isFirst) return next()
      isFirst = false
      return first
    },
  })
}

/** Tells whether the input ends inside a magic number. */
function isStartOfMagic(bytes: Uint8Array): boolean {
  if (bytes.length === 0 || bytes.length > 3) return false
  const startsWith = (magic: readonly number[]): boolean => bytes.every((byte, at) => byte === magic[at])
  return startsWith([0x28, 0xb5, 0x2f]) || startsWith([bytes[0]! >= 0x50 && bytes[0]! <= 0x5f ? bytes[0]! : -1, 0x2a, 0x4d])
}

async function skip(input: Input, count: number): Promise<void> {
  let left = count
  while (left > 0) {
    const bytes = await input.next()
    if (bytes === undefined) throw truncated('zstd')
    if (bytes.length > left) input.unread(bytes.subarray(left))
    left -= Math.min(left, bytes.length)
  }
}

/** Walks over one frame, from its magic number on, without decompressing it. */
class FrameWalk {
  readonly #windowBytes: number
  readonly #walk = new ByteWalk(18)
  #hasChecksum = false
  /** What the header says about the size of the content; Infinity when it says nothing. */
  contentBytes = Infinity

  constructor(windowBytes: number) {
    this.#windowBytes = windowBytes
    this.#walk.collect(5, () => this.#takeDescriptor())
  }

  get done(): boolean {
    return this.#walk.done
  }

  /** Takes the bytes that belong to the frame; returns how many they are. */
  take(bytes: Uint8Array): number {
    return this.#walk.take(bytes)
  }

  #takeDescriptor(): void {
    const descriptor = this.#walk.header[4]!
    if ((descriptor & 0x08) !== 0) throw corrupt('zstd', 'a frame header has unknown flags')
    this.#hasChecksum = (descriptor & 0x04) !== 0
    const isSingleSegment = (descriptor & 0x20) !== 0
    const contentSizeBytes = [isSingleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6]!
    this.#walk.extend(5 + (isSingleSegment ? 0 : 1) + [0, 1, 2, 4][descriptor & 3]! + contentSizeBytes, () => {
      this.#checkHeader()
      this.#beginBlock()
    })
  }

  #beginBlock(): void {
    this.#walk.collect(3, () => {
      const block = this.#walk.header.readUIntLE(0, 3)
      const type = (block >> 1) & 3
      const size = block >> 3
      if (type === 3 || size > LARGEST_BLOCK) throw corrupt('zstd', 'a block header is wrong')
      const isLast = (block & 1) !== 0
      // A run-length block has one byte, which stands for all.
      this.#walk.skip(type === 1 ? 1 : size, () => (isLast ? this.#endOfBlocks() : this.#beginBlock()))
    })
  }

  #endOfBlocks(): void {
    const end = (): void => void (this.#walk.done = true)
    if (this.#hasChecksum) this.#walk.collect(4, end)
    else end()
  }

  #checkHeader(): void {
    const { header, filled } = this.#walk
    const descriptor = header[4]!
    let at = 5
    let window = 0
    if ((descriptor & 0x20) === 0) {
      const base = 2 ** (10 + (header[at]! >> 3))
      window = base + (base / 8) * (header[at]! & 7)
      at += 1
    }
    const idBytes = [0, 1, 2, 4][descriptor & 3]!
    if (idBytes > 0 && header.readUIntLE(at, idBytes) !== 0) throw corrupt('zstd', 'it needs a dictionary')
    at += idBytes
    const sizeBytes = filled - at
    if (sizeBytes === 8) this.contentBytes = Number(header.readBigUInt64LE(at))
    else if (sizeBytes > 0) this.contentBytes = header.readUIntLE(at, sizeBytes) + (sizeBytes === 2 ? 256 : 0)
    // Without a window of its own a frame is kept whole.
    if ((descriptor & 0x20) !== 0) window = this.contentBytes
    if (window > this.#windowBytes)
      throw overLimit('zstd', `a frame needs a window of ${window} bytes: at most ${this.#windowBytes} are given`)
  }
}
