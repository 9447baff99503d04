import { type ByteStream, StrataError } from '../base/index.ts'
import { BLOCK_BYTES, type HeaderBlock, readNumber } from './block.ts'
import type { SparseRegion } from './entry.ts'
import { parseDecimal, type SparseRecords } from './pax.ts'

/*
 * The four ways in which GNU tar writes where a sparse file has bytes (GNU tar manual, "Storing
 * Sparse Files"): in the header and extension blocks (type S), in PAX records (0.0 and 0.1), and in
 * front of the payload (1.0).
 */

const ENTRY_BYTES = 24
const HEADER_MAP_OFFSET = 386
const HEADER_MAP_ENTRIES = 4
const HEADER_MORE_OFFSET = 482
const EXTENSION_MAP_ENTRIES = 21
const EXTENSION_MORE_OFFSET = 504

/** Collects the regions of one sparse file; `fail` makes the error for a map that makes no sense. */
export class SparseMap {
  readonly #regions: SparseRegion[] = []
  readonly #maxRegions: number
  readonly #fail: (state: string) => Error
  readonly #tooMany: () => Error
  #end = 0
  #count = 0
  /** Bytes that the regions have in the archive. */
  storedSize = 0

  constructor(maxRegions: number, fail: (state: string) => Error, tooMany: () => Error) {
    this.#maxRegions = maxRegions
    this.#fail = fail
    this.#tooMany = tooMany
  }

  add(offset: number | undefined, size: number | undefined): void {
    if (offset === undefined || size === undefined || offset < this.#end || size < 0 || !Number.isSafeInteger(offset + size)) {
      throw this.#fail('has a sparse map whose regions overlap or are not numbers')
    }
    this.#count += 1
    this.expect(this.#count)
    this.#end = offset + size
    this.storedSize += size
    if (size > 0) this.#regions.push({ offset, size })
  }

  /** Refuses a map that says to have this many regions. */
  expect(count: number): void {
    if (count > this.#maxRegions) throw this.#tooMany()
  }

  /** The regions of a file of `size` bytes, of which `payload` are in the archive. */
  finish(size: number, payload: number): readonly SparseRegion[] {
    if (this.#end > size) throw this.#fail('has a sparse map that goes past the end of the file')
    if (this.storedSize !== payload) throw this.#fail('has a sparse map that does not match the size of its payload')
    return this.#regions
  }

  /** Takes the regions of a type-S header. Returns whether extension blocks follow. */
  addFromHeader(block: HeaderBlock): boolean {
    return this.#addEntries(block.bytes, HEADER_MAP_OFFSET, HEADER_MAP_ENTRIES) && block.bytes[HEADER_MORE_OFFSET] !== 0
  }

  /** Takes the regions of an extension block. Returns whether another one follows. */
  addFromExtension(block: HeaderBlock): boolean {
    return this.#addEntries(block.bytes, 0, EXTENSION_MAP_ENTRIES) && block.bytes[EXTENSION_MORE_OFFSET] !== 0
  }

  #addEntries(bytes: Buffer, start: number, count: number): true {
    for (let entry = 0; entry < count; entry += 1) {
      const at = start + entry * ENTRY_BYTES
      if (bytes[at] === 0) break
      this.add(readNumber(bytes, [at, 12]), readNumber(bytes, [at + 12, 12]))
    }
    return true
  }

  /** Takes the regions of PAX versions 0.0 and 0.1. */
  addFromRecords(records: SparseRecords): void {
    const numbers = records.pairs ?? (records.map === undefined || records.map === '' ? [] : records.map.split(','))
    const count = parseDecimal(records.count ?? '')
    if (count === undefined || numbers.length !== 2 * count) throw this.#fail('has a sparse map of another length than it says')
    this.expect(count)
    for (let at = 0; at < numbers.length; at += 2) this.add(parseDecimal(numbers[at]!), parseDecimal(numbers[at + 1]!))
  }
}

/** Which version of PAX sparse the records have; undefined for a file that is not sparse. */
export function paxSparseVersion({ major, minor, map, pairs }: SparseRecords): '0.x' | '1.0' | undefined {
  if (major === '1' && minor === '0') return '1.0'
  if (major === '0' && (minor === '0' || minor === '1')) return '0.x'
  if ((major ?? '') !== '' || (minor ?? '') !== '') return undefined
  return pairs !== undefined || (map ?? '') !== '' ? '0.x' : undefined
}

/**
 * Reads the map of PAX version 1.0 from the blocks in front of the payload: the number of regions,
 * then offset and size of each, every number on a line of its own.
 */
export class SparseMapText {
  readonly #map: SparseMap
  readonly #fail: (state: string) => Error
  #value = 0
  #digits = 0
  #count = -1
  #offset = -1
  #left = 0

  constructor(map: SparseMap, fail: (state: string) => Error) {
    this.#map = map
    this.#fail = fail
  }

  /** Takes the next block. Returns true when the map is complete; the rest of the block is padding. */
  take(block: HeaderBlock): boolean {
    for (let at = 0; at < BLOCK_BYTES; at += 1) {
      const byte = block.bytes[at]!
      if (byte === 0x0a && this.#digits > 0) {
        this.#number(this.#value)
        this.#value = 0
        this.#digits = 0
        if (this.#left === 0) return true
      } else if (byte >= 0x30 && byte <= 0x39 && this.#digits < 15) {
        this.#value = this.#value * 10 + byte - 0x30
        this.#digits += 1
      } else {
        throw this.#fail('has a sparse map that is not a list of numbers')
      }
    }
    return false
  }

  #number(value: number): void {
    if (this.#count === -1) {
      this.#map.expect(value)
      this.#count = value
      this.#left = 2 * value
      return
    }
    this.#left -= 1
    if (this.#left % 2 === 1) this.#offset = value
    else this.#map.add(this.#offset, value)
  }
}

const ZEROS = Buffer.alloc(64 * 1024)

/**
 * The logical content of a sparse file: its stored regions with zeros between them.
 *
 * @param stored the payload as the archive has it
 * Rejects with `dataLoss` when the payload is shorter than the regions.
 */
export async function* expandSparse(stored: ByteStream, regions: readonly SparseRegion[], size: number): AsyncGenerator<Uint8Array> {
  let at = 0
  let index = 0
  for await (const chunk of stored) {
    let rest = chunk
    while (rest.length > 0) {
      const region = regions[index]
      if (region === undefined) break
      if (at < region.offset) yield* zeros(region.offset - at)
      at = Math.max(at, region.offset)
      const piece = rest.subarray(0, region.offset + region.size - at)
      yield piece
      at += piece.length
      rest = rest.subarray(piece.length)
      if (at === region.offset + region.size) index += 1
    }
  }
  if (index < regions.length) {
    throw new StrataError('dataLoss', 'STRATA_TAR_TRUNCATED', 'Cannot read sparse file: its payload ends before its last region')
  }
  yield* zeros(size - at)
}

function* zeros(count: number): Generator<Uint8Array> {
  for (let left = count; left > 0; left -= ZEROS.length) yield left < ZEROS.length ? ZEROS.subarray(0, left) : ZEROS
}
