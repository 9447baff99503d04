import { decodeFileName, encodeFileName, StrataError } from '../base/index.ts'
import { checksum } from './checksum.ts'
import {
  BLOCK_BITS,
  BLOCK_BYTES,
  CHUNK_BASED,
  CHUNK_BITS_MASK,
  CHUNK_INDEX,
  CHUNK_INDEX_BYTES,
  CHUNK_INDEXES,
  COMPACT,
  COMPACT_BYTES,
  COMPAT_CHECKSUM,
  DEVICE,
  DEVICE_BYTES,
  DIRENT,
  DIRENT_BYTES,
  EXTENDED,
  EXTENDED_BYTES,
  FILE_TYPES,
  FLAT_INLINE,
  FLAT_PLAIN,
  HOLE,
  INCOMPAT_CHUNKED_FILE,
  INCOMPAT_DEVICE_TABLE,
  INODE,
  NID_BYTES,
  SUPER,
  SUPER_BYTES,
  SUPER_MAGIC,
  SUPER_OFFSET,
  TAG_BYTES,
  TARGET_BYTES,
  XATTR_ENTRY_BYTES,
  XATTR_HEADER,
  XATTR_HEADER_BYTES,
  XATTR_PREFIXES,
} from './format.ts'
import type { ErofsAttributes, ErofsDevice, ErofsExtent, ErofsNode } from './node.ts'

/** Where the bytes of an image are. */
export interface ErofsSource {
  readonly size: number
  /** Exactly `length` bytes from `position`, which are inside. They are not kept beyond the call. */
  read(position: number, length: number): Uint8Array
}

export interface ErofsInode extends ErofsAttributes {
  readonly nid: number
  readonly type: ErofsNode['type']
  readonly links: number
  /** It has the long form, so that all its attributes have a place. */
  readonly changeable: boolean
  /** Bytes of content of a file, of the target of a symlink, of the entries of a directory. */
  readonly size: number
  readonly device?: { readonly major: number; readonly minor: number }
}

export interface ErofsDirent {
  readonly name: string
  readonly nid: number
  readonly type: ErofsNode['type']
}

/** Where an inode's data is, as its fields say. */
interface Place {
  readonly layout: number
  readonly address: number
  /** What stands beside the inode begins here. */
  readonly beside: number
}

/**
 * Opens an image as `writeErofs` makes it: uncompressed, with blocks of 512 bytes.
 *
 * @throws StrataError `dataLoss` (STRATA_EROFS_DAMAGED) here and from all methods where the bytes make no sense
 */
export function openErofs(source: Uint8Array | ErofsSource): ErofsImage {
  return new Image(source instanceof Uint8Array ? { size: source.length, read: (at, length) => source.subarray(at, at + length) } : source)
}

export interface ErofsImage {
  readonly root: number
  readonly inodes: number
  readonly devices: readonly ErofsDevice[]
  inode(nid: number): ErofsInode
  /** The names in a directory in the order of their bytes, without `.` and `..`. */
  entries(directory: ErofsInode): readonly ErofsDirent[]
  /** One name in a directory, by binary search. */
  lookup(directory: ErofsInode, name: string): ErofsDirent | undefined
  target(symlink: ErofsInode): string
  /** Where the content of a file is; what lies between is zeros. */
  extents(file: ErofsInode): Generator<ErofsExtent>
}

const KNOWN_INCOMPATIBLE = INCOMPAT_CHUNKED_FILE | INCOMPAT_DEVICE_TABLE
const TYPE_OF_MODE = new Map(FILE_TYPES.map(([type, bits]) => [bits as number, type]))
const TYPE_OF_NUMBER = new Map(FILE_TYPES.map(([type, , number]) => [number as number, type]))
const TYPE_BITS = 0o170000

class Image implements ErofsImage {
  readonly root: number
  readonly inodes: number
  readonly devices: readonly ErofsDevice[]
  readonly #source: ErofsSource
  readonly #blocks: number
  readonly #xattrsAt: number
  readonly #epoch: { readonly seconds: number; readonly nanoseconds: number }
  /** Block address of each device. */
  readonly #addresses: readonly number[]
  readonly #places = new WeakMap<ErofsInode, Place>()

  constructor(source: ErofsSource) {
    this.#source = source
    const bytes = this.#read(SUPER_OFFSET, SUPER_BYTES)
    if (bytes.readUInt32LE(SUPER.magic) !== SUPER_MAGIC) throw damaged('it is not EROFS')
    const incompatible = bytes.readUInt32LE(SUPER.featureIncompat)
    if ((incompatible & ~KNOWN_INCOMPATIBLE) !== 0 || bytes[SUPER.blockBits] !== BLOCK_BITS || bytes[SUPER.directoryBlockBits] !== 0) {
      throw new StrataError('unsupported', 'STRATA_EROFS_FEATURE', 'Cannot read EROFS image: it has features that are not known here')
    }
    if ((bytes.readUInt32LE(SUPER.featureCompat) & COMPAT_CHECKSUM) !== 0) this.#check()
    this.root = bytes.readUInt16LE(SUPER.rootNid)
    this.inodes = readNumber(bytes, SUPER.inodes)
    this.#blocks = bytes.readUInt32LE(SUPER.blocks)
    if (this.#blocks * BLOCK_BYTES > source.size) throw damaged('it ends too early')
    this.#xattrsAt = bytes.readUInt32LE(SUPER.xattrBlock) * BLOCK_BYTES
    this.#epoch = timeOf(bytes, SUPER.buildTime, SUPER.buildNanoseconds)
    if (bytes.readUInt32LE(SUPER.metaBlock) !== 0) throw damaged('its inodes do not begin with it')
    const addresses: number[] = []
    const devices: ErofsDevice[] = []
    const table = bytes.readUInt16LE(SUPER.deviceSlot) * DEVICE_BYTES
    for (let n = 0; n < bytes.readUInt16LE(SUPER.extraDevices); n += 1) {
      const slot = this.#read(table + n * DEVICE_BYTES, DEVICE_BYTES)
      const tag = slot.toString('latin1', DEVICE.tag, TAG_BYTES).replace(/\0.*$/s, '')
      devices.push({ bytes: slot.readUInt32LE(DEVICE.blocks) * BLOCK_BYTES, ...(tag === '' ? {} : { tag }) })
      addresses.push(slot.readUInt32LE(DEVICE.address))
    }
    this.devices = devices
    this.#addresses = addresses
  }

  inode(nid: number): ErofsInode {
    const at = nid * NID_BYTES
    let bytes = this.#read(at, COMPACT_BYTES)
    const format = bytes.readUInt16LE(INODE.format)
    const extended = (format & 1) === 1
    if (extended) bytes = this.#read(at, EXTENDED_BYTES)
    const mode = bytes.readUInt16LE(INODE.mode)
    const type = TYPE_OF_MODE.get(mode & TYPE_BITS)
    if (type === undefined || format >> 4 !== 0) throw damaged(`inode ${nid} is of no kind`)
    const words = bytes.readUInt16LE(INODE.xattrCount)
    const xattrsAt = at + (extended ? EXTENDED_BYTES : COMPACT_BYTES)
    const xattrBytes = words === 0 ? 0 : XATTR_HEADER_BYTES + (words - 1) * 4
    const address = bytes.readUInt32LE(INODE.address)
    const inode: ErofsInode = {
      nid,
      type,
      changeable: extended,
      mode: mode & 0o7777,
      uid: extended ? bytes.readUInt32LE(EXTENDED.uid) : bytes.readUInt16LE(COMPACT.uid),
      gid: extended ? bytes.readUInt32LE(EXTENDED.gid) : bytes.readUInt16LE(COMPACT.gid),
      modifiedAt: extended ? timeOf(bytes, EXTENDED.seconds, EXTENDED.nanoseconds) : this.#epoch,
      links: extended ? bytes.readUInt32LE(EXTENDED.links) : bytes.readUInt16LE(COMPACT.links),
      size: extended ? readNumber(bytes, INODE.size) : bytes.readUInt32LE(INODE.size),
      xattrs: xattrBytes === 0 ? NO_XATTRS : this.#xattrs(xattrsAt, xattrBytes),
      ...(type === 'character' || type === 'block' ? { device: deviceOf(address) } : {}),
    }
    this.#places.set(inode, { layout: format >> 1, address, beside: xattrsAt + xattrBytes })
    return inode
  }

  entries(directory: ErofsInode): readonly ErofsDirent[] {
    const entries: ErofsDirent[] = []
    for (let n = 0; n * BLOCK_BYTES < directory.size; n += 1) {
      const block = this.#directoryBlock(directory, n)
      for (let i = 0; i < block.count; i += 1) {
        const entry = block.entry(i)
        if (entry.name !== '.' && entry.name !== '..') entries.push(entry)
      }
    }
    return entries
  }

  lookup(directory: ErofsInode, name: string): ErofsDirent | undefined {
    if (name === '.' || name === '..') return undefined
    const wanted = encodeFileName(name)
    let low = 0
    let high = Math.ceil(directory.size / BLOCK_BYTES) - 1
    while (low <= high) {
      const middle = (low + high) >>> 1
      const block = this.#directoryBlock(directory, middle)
      if (wanted.compare(block.name(0)) < 0) high = middle - 1
      else if (wanted.compare(block.name(block.count - 1)) > 0) low = middle + 1
      else return findIn(block, wanted)
    }
    return undefined
  }

  target(symlink: ErofsInode): string {
    if (symlink.type !== 'symlink' || symlink.size > TARGET_BYTES) throw damaged(`inode ${symlink.nid} is no symlink`)
    return decodeFileName(this.#content(symlink, 0, symlink.size))
  }

  *extents(file: ErofsInode): Generator<ErofsExtent> {
    if (file.type !== 'file') throw damaged(`inode ${file.nid} is no file`)
    if (file.size === 0) return
    const place = this.#placeOf(file)
    if (place.layout === CHUNK_BASED) {
      yield* this.#chunks(file, place)
      return
    }
    const inBlocks = place.layout === FLAT_INLINE ? file.size - (file.size % BLOCK_BYTES) : file.size
    if (inBlocks > 0) yield this.#located({ offset: 0, size: inBlocks }, place.address)
    if (inBlocks < file.size) yield { offset: inBlocks, size: file.size - inBlocks, device: -1, position: place.beside }
  }

  *#chunks(file: ErofsInode, { address: format, beside }: Place): Generator<ErofsExtent> {
    const chunk = 2 ** (BLOCK_BITS + (format & CHUNK_BITS_MASK))
    const chunks = Math.ceil(file.size / chunk)
    const indexes = Math.ceil(beside / CHUNK_INDEX_BYTES) * CHUNK_INDEX_BYTES
    if ((format & CHUNK_INDEXES) === 0) throw damaged(`inode ${file.nid} has a map of another kind`)
    if (indexes + chunks * CHUNK_INDEX_BYTES > this.#source.size) throw damaged(`inode ${file.nid} has more chunks than there are`)
    let last: ErofsExtent | undefined
    for (let n = 0; n < chunks; n += 1) {
      const index = this.#read(indexes + n * CHUNK_INDEX_BYTES, CHUNK_INDEX_BYTES)
      const address = index.readUInt32LE(CHUNK_INDEX.address)
      if (address === HOLE) continue
      const offset = n * chunk
      const size = Math.min(chunk, file.size - offset)
      const extent = this.#inDevice({ offset, size, device: index.readUInt16LE(CHUNK_INDEX.device) - 1, position: address * BLOCK_BYTES })
      if (last !== undefined && follows(last, extent)) last = { ...last, size: last.size + extent.size }
      else {
        if (last !== undefined) yield last
        last = extent
      }
    }
    if (last !== undefined) yield last
  }

  #inDevice(extent: ErofsExtent): ErofsExtent {
    const bytes = extent.device === -1 ? this.#source.size : this.devices[extent.device]?.bytes
    if (bytes === undefined || extent.position + extent.size > bytes) throw damaged('a piece of a file is nowhere')
    return extent
  }

  /** Finds the device that a block address is in. */
  #located(piece: { readonly offset: number; readonly size: number }, address: number): ErofsExtent {
    for (const [device, start] of this.#addresses.entries()) {
      const position = (address - start) * BLOCK_BYTES
      if (address >= start && position + piece.size <= this.devices[device]!.bytes) return { ...piece, device, position }
    }
    if (address >= this.#blocks || address * BLOCK_BYTES + piece.size > this.#source.size) throw damaged(`block ${address} is nowhere`)
    return { ...piece, device: -1, position: address * BLOCK_BYTES }
  }

  #directoryBlock(directory: ErofsInode, n: number): DirectoryBlock {
    if (directory.type !== 'directory') throw damaged(`inode ${directory.nid} is no directory`)
    const from = n * BLOCK_BYTES
    return new DirectoryBlock(this.#content(directory, from, Math.min(BLOCK_BYTES, directory.size - from)))
  }

  /** Content that the image itself has; all of it in blocks or all of it beside the inode. */
  #content(inode: ErofsInode, from: number, length: number): Buffer {
    const { layout, address, beside } = this.#placeOf(inode)
    const inBlocks = layout === FLAT_INLINE ? inode.size - (inode.size % BLOCK_BYTES) : inode.size
    if (layout !== FLAT_INLINE && layout !== FLAT_PLAIN) throw damaged(`inode ${inode.nid} has its content elsewhere`)
    if (from >= inBlocks) return this.#read(beside + from - inBlocks, length)
    return this.#read(address * BLOCK_BYTES + from, length)
  }

  #placeOf(inode: ErofsInode): Place {
    const place = this.#places.get(inode)
    if (place === undefined)
      throw new StrataError('invalidArgument', 'STRATA_EROFS_INODE', 'Cannot read EROFS image: the inode is of another one')
    return place
  }

  #xattrs(at: number, length: number): ReadonlyMap<string, Uint8Array> {
    const body = this.#read(at, length)
    const xattrs = new Map<string, Uint8Array>()
    const inlineAt = XATTR_HEADER_BYTES + body[XATTR_HEADER.sharedCount]! * 4
    if (inlineAt > length) throw damaged('it has more shared xattrs than there are')
    for (let next = XATTR_HEADER_BYTES; next < inlineAt; next += 4) {
      const shared = this.#xattrsAt + body.readUInt32LE(next) * 4
      const size = xattrBytes(this.#read(shared, XATTR_ENTRY_BYTES), 0)
      decodeXattr(this.#read(shared, size), 0, xattrs)
    }
    for (let next = inlineAt; next < length;) {
      const size = xattrBytes(body, next)
      if (next + size > length) throw damaged('an xattr has no end')
      decodeXattr(body, next, xattrs)
      next += size
    }
    return xattrs
  }

  #check(): void {
    const bytes = Buffer.from(this.#read(SUPER_OFFSET, BLOCK_BYTES))
    const expected = bytes.readUInt32LE(SUPER.checksum)
    bytes.writeUInt32LE(0, SUPER.checksum)
    if (checksum(bytes) !== expected) throw damaged('its checksum is wrong')
  }

  #read(position: number, length: number): Buffer {
    if (position + length > this.#source.size) throw damaged('it ends too early')
    const bytes = this.#source.read(position, length)
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }
}

const NO_XATTRS: ReadonlyMap<string, Uint8Array> = new Map()

/** One block of a directory. */
class DirectoryBlock {
  readonly count: number
  readonly #bytes: Buffer

  constructor(bytes: Buffer) {
    this.#bytes = bytes
    const namesAt = bytes.length < DIRENT_BYTES ? 0 : bytes.readUInt16LE(DIRENT.nameAt)
    this.count = namesAt / DIRENT_BYTES
    if (namesAt === 0 || namesAt % DIRENT_BYTES !== 0 || namesAt >= bytes.length) throw damaged('a directory has no entries')
  }

  name(n: number): Buffer {
    const start = this.#bytes.readUInt16LE(n * DIRENT_BYTES + DIRENT.nameAt)
    const end = n + 1 < this.count ? this.#bytes.readUInt16LE((n + 1) * DIRENT_BYTES + DIRENT.nameAt) : this.#bytes.length
    if (start < this.count * DIRENT_BYTES || start >= end || end > this.#bytes.length) throw damaged('a directory entry has no name')
    const name = this.#bytes.subarray(start, end)
    // The last name of a block ends with it or with a zero.
    const zero = n + 1 < this.count ? -1 : name.indexOf(0)
    const whole = zero === -1 ? name : name.subarray(0, zero)
    if (whole.length === 0 || whole.includes(0) || whole.includes(0x2f)) throw damaged('a directory entry has no name')
    return whole
  }

  entry(n: number): ErofsDirent {
    const at = n * DIRENT_BYTES
    const type = TYPE_OF_NUMBER.get(this.#bytes[at + DIRENT.type]!)
    if (type === undefined) throw damaged('a directory entry is of no kind')
    return { name: decodeFileName(this.name(n)), nid: readNumber(this.#bytes, at + DIRENT.nid), type }
  }
}

function findIn(block: DirectoryBlock, wanted: Buffer): ErofsDirent | undefined {
  let low = 0
  let high = block.count - 1
  while (low <= high) {
    const middle = (low + high) >>> 1
    const order = wanted.compare(block.name(middle))
    if (order === 0) return block.entry(middle)
    if (order < 0) high = middle - 1
    else low = middle + 1
  }
  return undefined
}

function xattrBytes(bytes: Buffer, at: number): number {
  return (XATTR_ENTRY_BYTES + bytes[at]! + bytes.readUInt16LE(at + 2) + 3) & ~3
}

function decodeXattr(bytes: Buffer, at: number, into: Map<string, Uint8Array>): void {
  const prefix = XATTR_PREFIXES.find(([index]) => index === bytes[at + 1])?.[1]
  if (prefix === undefined) throw damaged('an xattr is of no known namespace')
  const nameEnd = at + XATTR_ENTRY_BYTES + bytes[at]!
  const name = prefix + decodeFileName(bytes.subarray(at + XATTR_ENTRY_BYTES, nameEnd))
  into.set(name, Uint8Array.from(bytes.subarray(nameEnd, nameEnd + bytes.readUInt16LE(at + 2))))
}

function follows(before: ErofsExtent, { device, offset, position }: ErofsExtent): boolean {
  return before.device === device && before.offset + before.size === offset && before.position + before.size === position
}

function timeOf(bytes: Buffer, secondsAt: number, nanosecondsAt: number): { seconds: number; nanoseconds: number } {
  const seconds = Number(bytes.readBigInt64LE(secondsAt))
  const nanoseconds = bytes.readUInt32LE(nanosecondsAt)
  if (!Number.isSafeInteger(seconds) || nanoseconds > 999_999_999) throw damaged('a time is none')
  return { seconds, nanoseconds }
}

/** 64 bits, as far as a number is exact. */
function readNumber(bytes: Buffer, at: number): number {
  const value = bytes.readUInt32LE(at + 4) * 2 ** 32 + bytes.readUInt32LE(at)
  if (!Number.isSafeInteger(value)) throw damaged('a number is too large')
  return value
}

/** As the kernel's new_decode_dev(). */
function deviceOf(number: number): { major: number; minor: number } {
  return { major: (number >>> 8) & 0xfff, minor: (number & 0xff) | ((number >>> 12) & 0xfff00) }
}

function damaged(state: string): StrataError {
  return new StrataError('dataLoss', 'STRATA_EROFS_DAMAGED', `Cannot read EROFS image: ${state}`)
}
