/*
 * The bytes of a layer index, all numbers little-endian:
 *
 *   header    HEADER_BYTES, see HEADER
 *   records   entryCount × RECORD_BYTES, see RECORD: a directory before what it holds, names in byte order,
 *             so that a scan is a walk; the root is record 0
 *   children  (entryCount - 1) × 4: ordinals; those of one directory are neighbours, in byte order of the names
 *   digests   entryCount × 32 where FLAG_DIGESTS is set: SHA-256 of contents, zeros where it is not known
 *   heap      names, link targets, sparse extents, xattrs; records point into it
 *
 * The CRC-32 in the header is that of everything but itself.
 */

export const MAGIC = 'STRATALX'
export const VERSION = 1

export const HEADER = {
  magic: 0,
  version: 8,
  crc: 12,
  entryCount: 16,
  flags: 20,
  tarBytes: 24,
  contentBytes: 32,
  diffId: 40,
  heapBytes: 72,
} as const
export const HEADER_BYTES = 80

/** The index has a table of content digests. */
export const FLAG_DIGESTS = 1
/** `LayerIndex.dependsOnLower`. */
export const FLAG_DEPENDS_ON_LOWER = 2

export const RECORD = {
  nameAt: 0,
  nameBytes: 4,
  type: 5,
  flags: 6,
  parent: 8,
  uid: 12,
  gid: 16,
  mode: 20,
  nanoseconds: 24,
  /** Heap offset of the xattrs, 0 for none. */
  xattrsAt: 28,
  /** A double: times reach beyond 32 bits in both directions. */
  seconds: 32,
  /** Directory: where its ordinals begin in the table of children. Symlink, link to a lower file: heap offset. Hard link: ordinal. Device: major. Sparse file: heap offset. */
  first: 40,
  /** Directory: number of children. Symlink, link to a lower file: bytes. Device: minor. */
  second: 44,
  size: 48,
  dataOffset: 56,
} as const
export const RECORD_BYTES = 64
export const DIGEST_BYTES = 32

/** A record's type is the position here. */
export const TYPES = ['directory', 'file', 'symlink', 'character', 'block', 'fifo', 'whiteout'] as const
export type RecordType = (typeof TYPES)[number]

export const IMPLIED = 1
export const OPAQUE = 2
export const HARD_LINK = 4
export const LOWER_LINK = 8
export const SPARSE = 16
