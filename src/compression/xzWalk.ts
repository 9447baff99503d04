import { ByteWalk } from './byteWalk.ts'
import { corrupt, overLimit, unsupported } from './failures.ts'

/** Bytes of the check at the end of each block, by the type in the stream header. xz-file-format 2.1.1.2 */
const CHECK_BYTES = [0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64] as const
/** The decoder knows none, CRC32 and CRC64, which the xz command uses. */
const KNOWN_CHECKS: ReadonlySet<number> = new Set([0, 1, 4])
const STREAM_HEADER_BYTES = 12
const STREAM_FOOTER_BYTES = 12
const LZMA2 = 0x21

/**
 * Walks over one xz stream, from its magic number to its footer, without decompressing it: stream
 * header, blocks of LZMA2 chunks, index, footer. Checks are left to the decoder. xz-file-format 1.1
 */
export class XzStreamWalk {
  readonly #windowBytes: number
  readonly #walk = new ByteWalk(1024)
  #checkBytes = 0
  /** Compressed bytes of the current block, or bytes of the index: both are padded to four. */
  #bytes = 0
  #numbersLeft = -1

  constructor(windowBytes: number) {
    this.#windowBytes = windowBytes
    this.#walk.collect(STREAM_HEADER_BYTES, () => this.#takeStreamHeader())
  }

  get done(): boolean {
    return this.#walk.done
  }

  /** Takes the bytes that belong to the stream; returns how many they are. */
  take(bytes: Uint8Array): number {
    return this.#walk.take(bytes)
  }

  #takeStreamHeader(): void {
    const { header } = this.#walk
    if (header[6] !== 0 || header[7]! > 0x0f) throw corrupt('xz', 'its header has unknown flags')
    if (!KNOWN_CHECKS.has(header[7]!))
      throw unsupported('xz', 'it has other checks than CRC32 and CRC64', 'Compress it with `xz --check=crc64`.')
    this.#checkBytes = CHECK_BYTES[header[7]!]!
    this.#beginBlock()
  }

  #beginBlock(): void {
    this.#walk.collect(1, () => {
      const size = this.#walk.header[0]!
      // Where the size of a block header would be, zero announces the index.
      if (size > 0) {
        this.#walk.extend(4 * (size + 1), () => this.#takeBlockHeader())
        return
      }
      this.#bytes = 1
      this.#numbersLeft = -1
      this.#walk.collect(1, () => this.#takeIndexByte())
    })
  }

  #takeBlockHeader(): void {
    this.#checkBlockHeader()
    this.#bytes = 0
    this.#beginChunk()
  }

  #beginChunk(): void {
    this.#walk.collect(1, () => this.#takeControl(this.#walk.header[0]!))
  }

  #takeControl(control: number): void {
    if (control === 0) {
      this.#bytes += 1
      this.#walk.skip(paddingOf(this.#bytes) + this.#checkBytes, () => this.#beginBlock())
    } else if (control >= 0x80 || control <= 2) {
      // Control, uncompressed size 2, compressed size 2 and perhaps properties; or control and size 2.
      this.#walk.extend(control >= 0xc0 ? 6 : control >= 0x80 ? 5 : 3, () => this.#takeChunkHeader(control))
    } else {
      throw corrupt('xz', 'a chunk header is wrong')
    }
  }

  #takeChunkHeader(control: number): void {
    const size = this.#walk.header.readUInt16BE(control >= 0x80 ? 3 : 1) + 1
    this.#bytes += this.#walk.filled + size
    this.#walk.skip(size, () => this.#beginChunk())
  }

  /** The index has the number of blocks and two numbers for each, in 7-bit digits. */
  #takeIndexByte(): void {
    const { header, filled } = this.#walk
    this.#bytes += 1
    if (header[filled - 1]! >= 0x80) {
      if (filled === 9) throw corrupt('xz', 'its index is wrong')
      this.#walk.extend(filled + 1, () => this.#takeIndexByte())
      return
    }
    this.#numbersLeft = this.#numbersLeft === -1 ? 2 * readNumber(header, 0)[0] : this.#numbersLeft - 1
    if (this.#numbersLeft > 0) this.#walk.collect(1, () => this.#takeIndexByte())
    else this.#walk.skip(paddingOf(this.#bytes) + 4 + STREAM_FOOTER_BYTES, () => void (this.#walk.done = true))
  }

  #checkBlockHeader(): void {
    const { header } = this.#walk
    const flags = header[1]!
    if ((flags & 0x3c) !== 0) throw corrupt('xz', 'a block header has unknown flags')
    let at = 2
    for (const bit of [0x40, 0x80]) if ((flags & bit) !== 0) [, at] = readNumber(header, at)
    if ((flags & 3) !== 0) throw unsupported('xz', 'it has filters for machine code', 'Compress it with plain `xz`.')
    let id = 0
    let size = 0
    ;[id, at] = readNumber(header, at)
    ;[size, at] = readNumber(header, at)
    if (id !== LZMA2 || size !== 1) throw corrupt('xz', 'a block has an unknown filter')
    this.#checkWindow(header[at]!)
  }

  #checkWindow(bits: number): void {
    const window = bits === 40 ? 2 ** 32 - 1 : (2 | (bits & 1)) * 2 ** ((bits >> 1) + 11)
    if (window > this.#windowBytes)
      throw overLimit('xz', `a block needs a window of ${window} bytes: at most ${this.#windowBytes} are given`)
  }
}

function paddingOf(bytes: number): number {
  return (4 - (bytes % 4)) % 4
}

/** A number in 7-bit digits, lowest first, and where it ends. */
function readNumber(bytes: Buffer, start: number): [value: number, end: number] {
  let value = 0
  for (let at = start; at < start + 9 && at < bytes.length; at += 1) {
    value += (bytes[at]! & 0x7f) * 2 ** (7 * (at - start))
    if (bytes[at]! < 0x80) return [value, at + 1]
  }
  throw corrupt('xz', 'a number in a header is too long')
}
