import { decodeFileName, StrataError } from '../base/index.ts'

/*
 * One 512-byte header block and its fields. POSIX pax(1) "ustar Interchange Format"; GNU tar manual
 * "Basic Tar Format".
 *
 *   0 name 100 · 100 mode 8 · 108 uid 8 · 116 gid 8 · 124 size 12 · 136 mtime 12 · 148 checksum 8 ·
 *   156 type 1 · 157 link name 100 · 257 magic 6 · 263 version 2 · 265 user 32 · 297 group 32 ·
 *   329 major 8 · 337 minor 8 · then
 *     ustar  345 prefix 155
 *     star   345 prefix 131 · 476 atime 12 · 488 ctime 12 · 508 "tar\0"
 *     GNU    345 atime 12 · 357 ctime 12 · 386 sparse regions 4 × 24 · 482 more 1 · 483 real size 12
 */
export const BLOCK_BYTES = 512

/** A field of a header block: where it starts and how many bytes it has. */
export type Field = readonly [start: number, length: number]

export const NAME: Field = [0, 100]
export const MODE: Field = [100, 8]
export const UID: Field = [108, 8]
export const GID: Field = [116, 8]
export const SIZE: Field = [124, 12]
export const MTIME: Field = [136, 12]
export const CHECKSUM: Field = [148, 8]
export const TYPE_OFFSET = 156
export const LINK_NAME: Field = [157, 100]
export const MAGIC: Field = [257, 8]
export const USER_NAME: Field = [265, 32]
export const GROUP_NAME: Field = [297, 32]
export const DEVICE_MAJOR: Field = [329, 8]
export const DEVICE_MINOR: Field = [337, 8]
export const PREFIX: Field = [345, 155]
export const STAR_PREFIX: Field = [345, 131]
export const STAR_ATIME: Field = [476, 12]
export const STAR_CTIME: Field = [488, 12]
export const GNU_ATIME: Field = [345, 12]
export const GNU_CTIME: Field = [357, 12]
export const GNU_REAL_SIZE: Field = [483, 12]

export type Dialect = 'v7' | 'ustar' | 'star' | 'gnu'

/** The error for an archive that is not a tar archive as the field understands it. `at` is a byte offset in the archive. */
export function malformed(at: number, state: string): StrataError {
  return new StrataError('invalidArgument', 'STRATA_TAR_MALFORMED', `Cannot read tar archive: the header at byte ${at} ${state}`)
}

/** The error for an archive that asks for more than the limits allow. */
export function overLimit(at: number, state: string): StrataError {
  return new StrataError('resourceExhausted', 'STRATA_TAR_LIMIT', `Cannot read tar archive: the member at byte ${at} ${state}`)
}

const SPACE = 0x20

/** Holds a copy of one header block, because blocks straddle chunks and word access needs alignment. */
export class HeaderBlock {
  readonly bytes: Buffer
  readonly #words: Uint32Array

  constructor() {
    const memory = new ArrayBuffer(BLOCK_BYTES)
    this.bytes = Buffer.from(memory)
    this.#words = new Uint32Array(memory)
  }

  /** Sums all bytes, four at a time in two 16-bit lanes: 128 words × 2 × 255 < 65,536, so no lane overflows. */
  sum(): number {
    const words = this.#words
    let lanes = 0
    for (let at = 0; at < BLOCK_BYTES / 4; at += 1) {
      const word = words[at]!
      lanes += (word & 0x00ff00ff) + ((word >>> 8) & 0x00ff00ff)
    }
    return (lanes & 0xffff) + (lanes >>> 16)
  }

  /** Tells whether the stored checksum is that of the block, whose bytes sum up to `sum`. Old tars summed signed bytes. */
  checksumMatches(sum: number): boolean {
    const [start, length] = CHECKSUM
    const stored = readOctal(this.bytes, CHECKSUM)
    let without = sum + length * SPACE
    for (let at = start; at < start + length; at += 1) without -= this.bytes[at]!
    if (stored === without) return true
    let high = 0
    for (let at = 0; at < BLOCK_BYTES; at += 1) if ((at < start || at >= start + length) && this.bytes[at]! >= 0x80) high += 1
    return stored === without - 256 * high
  }

  dialect(): Dialect {
    const { bytes } = this
    const [at] = MAGIC
    // "ustar"
    if (bytes[at] !== 0x75 || bytes[at + 1] !== 0x73 || bytes[at + 2] !== 0x74 || bytes[at + 3] !== 0x61 || bytes[at + 4] !== 0x72)
      return 'v7'
    if (bytes[at + 5] === 0) return bytes.toString('latin1', 508, 512) === 'tar\0' ? 'star' : 'ustar'
    return bytes[at + 5] === SPACE && bytes[at + 6] === SPACE && bytes[at + 7] === 0 ? 'gnu' : 'v7'
  }

  /** The text of a field up to its first NUL, in decodeFileName form. */
  text([start, length]: Field): string {
    const { bytes } = this
    const limit = start + length
    let end = start
    let bits = 0
    for (; end < limit; end += 1) {
      const byte = bytes[end]!
      if (byte === 0) break
      bits |= byte
    }
    if (end === start) return ''
    return bits < 0x80 ? bytes.toString('latin1', start, end) : decodeFileName(bytes.subarray(start, end))
  }

  /** The number in a field, or undefined when it is not one. Saturates at the safe integers. */
  number(field: Field): number | undefined {
    return readNumber(this.bytes, field)
  }
}

/** Remembers the last text of a field: user and group names repeat from member to member. */
export class RepeatedText {
  readonly #field: Field
  readonly #bytes = Buffer.alloc(33)
  #text = ''

  constructor(field: Field) {
    this.#field = field
  }

  read(block: HeaderBlock): string {
    const [start, length] = this.#field
    const { bytes } = block
    for (let at = 0; at < length; at += 1) {
      const byte = bytes[start + at]!
      if (byte !== this.#bytes[at]) {
        this.#text = block.text(this.#field)
        bytes.copy(this.#bytes, 0, start, start + length)
        break
      }
      if (byte === 0) break
    }
    return this.#text
  }
}

/** Reads octal digits, or base-256 (GNU) when the first bit is set; undefined for anything else. */
export function readNumber(bytes: Uint8Array, field: Field): number | undefined {
  return bytes[field[0]]! >= 0x80 ? readBase256(bytes, field) : readOctal(bytes, field)
}

function readOctal(bytes: Uint8Array, [start, length]: Field): number | undefined {
  const end = start + length
  let at = start
  while (at < end && (bytes[at] === SPACE || bytes[at] === 0)) at += 1
  let value = 0
  for (; at < end; at += 1) {
    const digit = bytes[at]! - 0x30
    if (digit < 0 || digit > 7) break
    value = value * 8 + digit
  }
  if (at === end || bytes[at] === 0) return value
  while (at < end && (bytes[at] === SPACE || bytes[at] === 0)) at += 1
  return at === end ? value : undefined
}

/** Two's complement, big endian, the first bit being the marker. Values beyond 64 bits are refused. */
function readBase256(bytes: Uint8Array, [start, length]: Field): number | undefined {
  const negative = (bytes[start]! & 0x40) !== 0
  let value = BigInt(negative ? bytes[start]! | 0x80 : bytes[start]! & 0x7f)
  for (let at = start + 1; at < start + length; at += 1) value = (value << 8n) | BigInt(bytes[at]!)
  if (negative) value -= 1n << BigInt(8 * length)
  return saturate(value)
}

/** A 64-bit value as a safe integer; undefined beyond 64 bits. */
export function saturate(value: bigint): number | undefined {
  if (BigInt.asIntN(64, value) !== value) return undefined
  const number = Number(value)
  if (Number.isSafeInteger(number)) return number
  return number < 0 ? Number.MIN_SAFE_INTEGER : Number.MAX_SAFE_INTEGER
}
