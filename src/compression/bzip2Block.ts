import { corrupt, truncated } from './failures.ts'

/** Longest Huffman code, in bits. */
const LONGEST_CODE = 20
/** Symbols that are coded with one table before the next selector is looked at. */
const GROUP_SYMBOLS = 50

/** Reads numbers of a few bits, the highest bit first. */
export class BitReader {
  readonly #bytes: Uint8Array
  /** Bits from the start of the bytes. */
  position: number

  constructor(bytes: Uint8Array, position: number) {
    this.#bytes = bytes
    this.position = position
  }

  /** The next 1 to 24 bits, zeros behind the end, which `read` and `checkEnd` refuse. */
  peek(count: number): number {
    const bytes = this.#bytes
    const at = this.position >>> 3
    const word = ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) << (this.position & 7)
    return word >>> (32 - count)
  }

  read(count: number): number {
    const value = this.peek(count)
    this.position += count
    this.checkEnd()
    return value
  }

  checkEnd(): void {
    if (this.position > 8 * this.#bytes.length) throw truncated('bzip2')
  }

  /** Tells whether the next code may have been completed with zeros from behind the end. */
  isAtEnd(): boolean {
    return this.position + LONGEST_CODE > 8 * this.#bytes.length
  }
}

/**
 * Decodes one block, behind its mark and CRC: Huffman codes, move-to-front, runs of zeros.
 *
 * @param table scratch for as many bytes as a block may have; the result lives in it
 */
export function readBlock(bits: BitReader, table: Uint32Array): BlockContent {
  if (bits.read(1) !== 0) throw corrupt('bzip2', 'it uses the randomization of bzip2 0.9, which nobody reads any more')
  const start = bits.read(24)
  const bytesInUse = readBytesInUse(bits)
  const tableCount = bits.read(3)
  if (tableCount < 2 || tableCount > 6) throw corrupt('bzip2', 'a block header is wrong')
  const selectors = readSelectors(bits, tableCount)
  const codes = Array.from({ length: tableCount }, () => new HuffmanTable(bits, bytesInUse.length + 2))

  const endSymbol = bytesInUse.length + 1
  const front = Uint8Array.from(bytesInUse)
  const counts = new Uint32Array(256)
  let length = 0
  let group = 0
  let left = 0
  let code = codes[0]!
  // A run is a number in bijective base 2: symbol 0 adds the weight once, symbol 1 twice.
  let run = 0
  let weight = 1
  for (;;) {
    if (left === 0) {
      bits.checkEnd()
      const selector = selectors[group]
      if (selector === undefined) throw corrupt('bzip2', 'a block has too few selectors')
      code = codes[selector]!
      group += 1
      left = GROUP_SYMBOLS
    }
    left -= 1
    const symbol = code.read(bits)
    if (symbol <= 1) {
      run += weight << symbol
      weight *= 2
      if (run > table.length) throw corrupt('bzip2', 'a block is too long')
      continue
    }
    if (run > 0) {
      if (length + run > table.length) throw corrupt('bzip2', 'a block is too long')
      table.fill(front[0]!, length, length + run)
      counts[front[0]!]! += run
      length += run
      run = 0
      weight = 1
    }
    if (symbol === endSymbol) break
    if (length === table.length) throw corrupt('bzip2', 'a block is too long')
    const byte = front[symbol - 1]!
    front.copyWithin(1, 0, symbol - 1)
    front[0] = byte
    table[length] = byte
    counts[byte]! += 1
    length += 1
  }
  bits.checkEnd()
  if (start >= length) throw corrupt('bzip2', 'a block header is wrong')
  return new BlockContent(linkBytes(table, counts, length), length, start)
}

/** Undoes the Burrows-Wheeler transform: every element gets its byte and the index of the next element. */
function linkBytes(table: Uint32Array, counts: Uint32Array, length: number): Uint32Array {
  const next = new Uint32Array(256)
  let sum = 0
  for (let byte = 0; byte < 256; byte += 1) {
    next[byte] = sum
    sum += counts[byte]!
  }
  for (let at = 0; at < length; at += 1) {
    const byte = table[at]! & 0xff
    table[next[byte]!]! |= at << 8
    next[byte]! += 1
  }
  return table
}

function readBytesInUse(bits: BitReader): number[] {
  const ranges = bits.read(16)
  const bytes: number[] = []
  for (let range = 0; range < 16; range += 1) {
    if ((ranges & (0x8000 >> range)) === 0) continue
    const members = bits.read(16)
    for (let member = 0; member < 16; member += 1) if ((members & (0x8000 >> member)) !== 0) bytes.push(16 * range + member)
  }
  if (bytes.length === 0) throw corrupt('bzip2', 'a block header is wrong')
  return bytes
}

/** Which table codes each group of symbols; written move-to-front, in unary. */
function readSelectors(bits: BitReader, tableCount: number): Uint8Array {
  const selectors = new Uint8Array(bits.read(15))
  const front = [0, 1, 2, 3, 4, 5]
  for (let at = 0; at < selectors.length; at += 1) {
    let index = 0
    while (bits.read(1) === 1) index += 1
    if (index >= tableCount) throw corrupt('bzip2', 'a selector is wrong')
    const [table] = front.splice(index, 1)
    front.unshift(table!)
    selectors[at] = table!
  }
  return selectors
}

/** A canonical Huffman code: its codes of one length are consecutive numbers. */
class HuffmanTable {
  /** By length: the first 20-bit number that belongs to a longer code. */
  readonly #limits = new Uint32Array(LONGEST_CODE + 1)
  /** By length: what turns a code into an index of #symbols. */
  readonly #offsets = new Int32Array(LONGEST_CODE + 1)
  readonly #symbols: Uint16Array
  readonly #shortest: number

  constructor(bits: BitReader, symbolCount: number) {
    const lengths = new Uint8Array(symbolCount)
    let length = bits.read(5)
    for (let symbol = 0; symbol < symbolCount; symbol += 1) {
      while (bits.read(1) === 1) {
        length += bits.read(1) === 0 ? 1 : -1
        if (length < 1 || length > LONGEST_CODE) break
      }
      if (length < 1 || length > LONGEST_CODE) throw corrupt('bzip2', 'a code length is wrong')
      lengths[symbol] = length
    }
    this.#shortest = Math.min(...lengths)
    this.#symbols = new Uint16Array(symbolCount)
    let code = 0
    let index = 0
    for (let length = 1; length <= LONGEST_CODE; length += 1) {
      this.#offsets[length] = index - code
      for (let symbol = 0; symbol < symbolCount; symbol += 1) {
        if (lengths[symbol] !== length) continue
        this.#symbols[index] = symbol
        index += 1
        code += 1
      }
      this.#limits[length] = code * 2 ** (LONGEST_CODE - length)
      code *= 2
    }
  }

  read(bits: BitReader): number {
    const window = bits.peek(LONGEST_CODE)
    let length = this.#shortest
    while (window >= this.#limits[length]!) {
      length += 1
      if (length > LONGEST_CODE) throw corrupt('bzip2', 'a code is wrong')
    }
    bits.position += length
    const symbol = this.#symbols[(window >>> (LONGEST_CODE - length)) + this.#offsets[length]!]
    if (symbol === undefined) throw corrupt('bzip2', 'a code is wrong')
    return symbol
  }
}

/** The content of a block, made piece by piece: a run of four equal bytes is followed by a count of more. */
export class BlockContent {
  readonly #table: Uint32Array
  #left: number
  #at: number
  #last = -1
  #run = 0
  #repeats = 0
  #crc = 0xffffffff

  constructor(table: Uint32Array, length: number, start: number) {
    this.#table = table
    this.#left = length
    this.#at = table[start]! >>> 8
  }

  /** The CRC of all that `fill` has given. */
  get crc(): number {
    return ~this.#crc >>> 0
  }

  /** Fills `chunk` from its start; returns how many bytes it has now, 0 at the end. */
  fill(chunk: Uint8Array): number {
    const table = this.#table
    let filled = 0
    while (filled < chunk.length) {
      if (this.#repeats > 0) {
        const count = Math.min(this.#repeats, chunk.length - filled)
        chunk.fill(this.#last, filled, filled + count)
        filled += count
        this.#repeats -= count
        continue
      }
      if (this.#left === 0) break
      this.#left -= 1
      const element = table[this.#at]!
      const byte = element & 0xff
      this.#at = element >>> 8
      if (this.#run === 4) {
        this.#repeats = byte
        this.#run = 0
        continue
      }
      this.#run = byte === this.#last && this.#run > 0 ? this.#run + 1 : 1
      this.#last = byte
      chunk[filled] = byte
      filled += 1
    }
    let crc = this.#crc
    for (let at = 0; at < filled; at += 1) crc = (crc << 8) ^ CRC_TABLE[(crc >>> 24) ^ chunk[at]!]!
    this.#crc = crc
    return filled
  }
}

/** CRC-32 with the polynomial 0x04c11db7, the highest bit first: not the one of gzip. */
const CRC_TABLE = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 24
  for (let bit = 0; bit < 8; bit += 1) crc = crc < 0 ? (crc << 1) ^ 0x04c11db7 : crc << 1
  return crc
})
