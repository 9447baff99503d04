import { crc32 } from 'node:zlib'
import { compareFileNames, encodeFileName } from '../base/index.ts'
import { type DiffId, digestHex } from '../oci/index.ts'
import type { SparseExtent } from './entry.ts'
import {
  FLAG_DEPENDS_ON_LOWER,
  HARD_LINK,
  HEADER,
  HEADER_BYTES,
  IMPLIED,
  LOWER_LINK,
  MAGIC,
  OPAQUE,
  RECORD,
  RECORD_BYTES,
  type RecordType,
  SPARSE,
  TYPES,
  VERSION,
} from './layerIndexFormat.ts'
import { compareNames } from './pathOrder.ts'
import { type Inode, LayerDirectory, type LayerModel, LayerName, NO_XATTRS } from './layerModel.ts'

/** What an index says of the tar as a whole. */
export interface TarFacts {
  readonly diffId: DiffId
  readonly tarBytes: number
}

export interface EncodedIndex {
  /** The bytes, in pieces that follow one another. */
  readonly parts: readonly Buffer[]
  readonly contentBytes: number
  readonly entryCount: number
}

/** Writes down a finished model. The result is all that later readers need; see layerIndexFormat.ts for its layout. */
export function encodeLayerIndex(model: LayerModel, tar: TarFacts): EncodedIndex {
  const entries = sortedEntries(model.root)
  const heap = new Heap()
  const header = Buffer.alloc(HEADER_BYTES)
  const records = Buffer.alloc(entries.length * RECORD_BYTES)
  const children = Buffer.alloc((entries.length - 1) * 4)
  const ordinals = new Map<LayerDirectory, { readonly ordinal: number; next: number }>()
  const firstNames = new Map<Inode, number>()
  let childrenTaken = 0
  let contentBytes = 0
  let dependsOnLower = model.root.opaque

  for (const [ordinal, entry] of entries.entries()) {
    const at = ordinal * RECORD_BYTES
    const name = heap.add(encodeFileName(entry.name))
    records.writeUInt32LE(name.at, at + RECORD.nameAt)
    records.writeUInt8(name.bytes, at + RECORD.nameBytes)
    if (entry.parent !== undefined) {
      const parent = ordinals.get(entry.parent)!
      records.writeUInt32LE(parent.ordinal, at + RECORD.parent)
      children.writeUInt32LE(ordinal, parent.next * 4)
      parent.next += 1
    }
    if (!(entry instanceof LayerName)) {
      records.writeUInt8(TYPES.indexOf('whiteout'), at + RECORD.type)
      dependsOnLower = true
      continue
    }
    const { inode } = entry
    records.writeUInt8(TYPES.indexOf(inode.type satisfies RecordType), at + RECORD.type)
    let flags = 0
    let first = 0
    let second = 0
    const firstName = inode.names > 1 ? firstNames.get(inode) : undefined
    if (entry instanceof LayerDirectory) {
      if (entry.implied) dependsOnLower = true
      flags = (entry.implied ? IMPLIED : 0) | (entry.opaque ? OPAQUE : 0)
      first = childrenTaken
      second = entry.children.size + (entry.whiteouts?.size ?? 0)
      ordinals.set(entry, { ordinal, next: first })
      childrenTaken += second
    } else if (firstName !== undefined) {
      flags = HARD_LINK
      first = firstName
    } else {
      if (inode.names > 1) firstNames.set(inode, ordinal)
      if (inode.lower !== undefined) {
        flags = LOWER_LINK
        dependsOnLower = true
        ;({ at: first, bytes: second } = heap.add(encodeFileName(inode.lower)))
      } else if (inode.linkTarget !== undefined) ({ at: first, bytes: second } = heap.add(encodeFileName(inode.linkTarget)))
      else if (inode.device !== undefined) ({ major: first, minor: second } = inode.device)
      else if (inode.sparse !== undefined) {
        flags = SPARSE
        first = heap.add(encodeSparse(inode.sparse, inode.storedSize)).at
      }
      contentBytes += inode.size
    }
    records.writeUInt16LE(flags, at + RECORD.flags)
    records.writeUInt32LE(first, at + RECORD.first)
    records.writeUInt32LE(second, at + RECORD.second)
    if (firstName === undefined) writeInode(records, at, inode, heap)
  }

  header.write(MAGIC, HEADER.magic, 'latin1')
  header.writeUInt32LE(VERSION, HEADER.version)
  header.writeUInt32LE(entries.length, HEADER.entryCount)
  header.writeUInt32LE(dependsOnLower ? FLAG_DEPENDS_ON_LOWER : 0, HEADER.flags)
  header.writeDoubleLE(tar.tarBytes, HEADER.tarBytes)
  header.writeDoubleLE(contentBytes, HEADER.contentBytes)
  header.write(digestHex(tar.diffId), HEADER.diffId, 'hex')
  header.writeDoubleLE(heap.size, HEADER.heapBytes)
  const parts = [header, records, children, heap.bytes()]
  header.writeUInt32LE(indexCrc(parts), HEADER.crc)
  return { parts, contentBytes, entryCount: entries.length }
}

/** The checksum of an index that is cut into parts, the first with the whole header: all bytes but those of the checksum. */
export function indexCrc([first, ...rest]: readonly Buffer[]): number {
  const begin = crc32(first!.subarray(0, HEADER.crc))
  return rest.reduce((crc, part) => crc32(part, crc), crc32(first!.subarray(HEADER.crc + 4), begin))
}

function writeInode(records: Buffer, at: number, inode: Inode, heap: Heap): void {
  records.writeUInt32LE(inode.uid, at + RECORD.uid)
  records.writeUInt32LE(inode.gid, at + RECORD.gid)
  records.writeUInt32LE(inode.mode, at + RECORD.mode)
  records.writeUInt32LE(inode.modifiedAt.nanoseconds, at + RECORD.nanoseconds)
  records.writeDoubleLE(inode.modifiedAt.seconds, at + RECORD.seconds)
  records.writeDoubleLE(inode.size, at + RECORD.size)
  records.writeDoubleLE(inode.dataOffset, at + RECORD.dataOffset)
  if (inode.xattrs.size > 0) records.writeUInt32LE(heap.add(encodeXattrs(inode.xattrs)).at, at + RECORD.xattrsAt)
}

/** A deletion among the children of a directory, while they are sorted. */
interface Hidden {
  readonly name: string
  readonly parent: LayerDirectory
}

/** A directory before what it holds, siblings in the order of their names' bytes. */
function sortedEntries(root: LayerDirectory): (LayerName | Hidden)[] {
  const sorted: (LayerName | Hidden)[] = []
  const pending: (LayerName | Hidden)[] = [root]
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    sorted.push(next)
    if (!(next instanceof LayerDirectory)) continue
    const siblings: (LayerName | Hidden)[] = [...next.children.values()]
    for (const name of next.whiteouts ?? []) siblings.push({ name, parent: next })
    // The stack gives them back in the other order.
    siblings.sort((a, b) => compareNames(b.name, a.name))
    for (const sibling of siblings) pending.push(sibling)
  }
  return sorted
}

/** count, stored bytes, then offset and size of each piece. */
function encodeSparse(extents: readonly SparseExtent[], storedSize: number): Buffer {
  const bytes = Buffer.alloc(12 + extents.length * 16)
  bytes.writeUInt32LE(extents.length, 0)
  bytes.writeDoubleLE(storedSize, 4)
  for (const [i, extent] of extents.entries()) {
    bytes.writeDoubleLE(extent.offset, 12 + i * 16)
    bytes.writeDoubleLE(extent.size, 20 + i * 16)
  }
  return bytes
}

/** count, then per xattr: bytes of the name, bytes of the value, name, value. Names are sorted. */
function encodeXattrs(xattrs: ReadonlyMap<string, Uint8Array> = NO_XATTRS): Buffer {
  const parts: Uint8Array[] = [uint32(xattrs.size)]
  for (const [name, value] of [...xattrs].sort(([a], [b]) => compareFileNames(a, b))) {
    const nameBytes = encodeFileName(name)
    parts.push(uint32(nameBytes.length), uint32(value.length), nameBytes, value)
  }
  return Buffer.concat(parts)
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

/** Bytes of any length, one after the other; offset 0 is never given out, so that 0 can mean "none". */
class Heap {
  size = 1
  #bytes: Buffer<ArrayBuffer> = Buffer.from(new ArrayBuffer(64 * 1024))

  add(bytes: Uint8Array): { at: number; bytes: number } {
    const at = this.size
    if (at + bytes.length > this.#bytes.length) this.#resize(Math.max(this.#bytes.length * 2, at + bytes.length))
    this.#bytes.set(bytes, at)
    this.size = at + bytes.length
    return { at, bytes: bytes.length }
  }

  /** All of them; nothing can be added any more. */
  bytes(): Buffer {
    this.#resize(this.size)
    return this.#bytes
  }

  /** Takes the memory along: what is left behind V8 hardly sees. */
  #resize(size: number): void {
    this.#bytes = Buffer.from(this.#bytes.buffer.transfer(size))
  }
}
