import { isStrataError, StrataError } from '../base/index.ts'
import { BLOCK_BITS, BLOCK_BYTES, CHUNK_BITS_MASK, CHUNK_INDEX, CHUNK_INDEX_BYTES, HOLE } from './format.ts'
import type { ErofsExtent } from './node.ts'

/** A file of which each part of 2^bits bytes lies somewhere, or nowhere. */
export interface ChunkMap {
  readonly bits: number
  readonly chunks: number
  readonly extents: readonly ErofsExtent[]
}

/** Entries of one map: 128 MiB. */
const MAX_CHUNKS = 2 ** 24

/** The place of a file that lies in one piece; undefined for others. */
export function wholeExtent(size: number, extents: readonly ErofsExtent[]): ErofsExtent | undefined {
  const [only, another] = extents
  return only !== undefined && another === undefined && only.offset === 0 && only.size === size ? only : undefined
}

/**
 * Cuts a file into the largest chunks of which none is partly here and partly there.
 *
 * @throws StrataError for pieces that overlap, are not in order or do not begin at a block, and for a map that would be too large
 */
export function chunkMap(size: number, extents: readonly ErofsExtent[]): ChunkMap {
  let bits = BLOCK_BITS
  while (bits < BLOCK_BITS + CHUNK_BITS_MASK && 2 ** bits < size) bits += 1
  let end = 0
  for (const extent of extents) {
    if (extent.offset < end || extent.offset + extent.size > size || extent.size <= 0) throw cannotMap('its pieces are not in order')
    if (extent.position % BLOCK_BYTES !== 0) throw cannotMap('a piece of it does not begin at a block')
    end = extent.offset + extent.size
    for (const boundary of end === size ? [extent.offset] : [extent.offset, end]) while (boundary % 2 ** bits !== 0) bits -= 1
  }
  if (bits < BLOCK_BITS) throw cannotMap('its pieces are not whole blocks')
  const chunks = Math.ceil(size / 2 ** bits)
  if (chunks > MAX_CHUNKS) throw cannotMap(`it has ${chunks} chunks`)
  return { bits, chunks, extents }
}

/** Tells whether an image can hold a file whose content lies like this. */
export function canHoldExtents(size: number, extents: readonly ErofsExtent[]): boolean {
  try {
    chunkMap(size, extents)
    return true
  } catch (error) {
    if (isStrataError(error, 'unsupported')) return false
    throw error
  }
}

/**
 * Writes where each chunk is: the device by its number from 1, and the block in it.
 *
 * Not as one address space over all devices: the kernel's reader compares such addresses with those in a device when it
 * looks whether two pieces follow each other, and may take one for the other.
 */
export function writeChunkMap(into: Buffer, { bits, chunks, extents }: ChunkMap): void {
  for (let n = 0; n < chunks; n += 1) into.writeUInt32LE(HOLE, n * CHUNK_INDEX_BYTES + CHUNK_INDEX.address)
  for (const { device, offset, position, size } of extents) {
    for (let done = 0; done < size; done += 2 ** bits) {
      const at = ((offset + done) / 2 ** bits) * CHUNK_INDEX_BYTES
      into.writeUInt16LE(device + 1, at + CHUNK_INDEX.device)
      into.writeUInt32LE((position + done) / BLOCK_BYTES, at + CHUNK_INDEX.address)
    }
  }
}

/** The last block address that is one. */
export const LAST_ADDRESS: number = HOLE - 1

function cannotMap(state: string): StrataError {
  return new StrataError('unsupported', 'STRATA_EROFS_LIMIT', `Cannot write EROFS image: it cannot hold a file: ${state}`)
}
