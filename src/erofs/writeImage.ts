import { StrataError } from '../base/index.ts'
import { checksum } from './checksum.ts'
import { directorySize, writeDirectory } from './directoryBlocks.ts'
import { type ChunkMap, chunkMap, LAST_ADDRESS, wholeExtent, writeChunkMap } from './fileMap.ts'
import {
  BLOCK_BITS,
  BLOCK_BYTES,
  CHUNK_BASED,
  CHUNK_INDEX_BYTES,
  CHUNK_INDEXES,
  COMPACT,
  COMPAT_CHECKSUM,
  COMPAT_MTIME,
  DEVICE,
  DEVICE_BYTES,
  EXTENDED,
  FILE_TYPES,
  FLAT_INLINE,
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
} from './format.ts'
import { InodeTable } from './inodeTable.ts'
import { nameLength, sortedNames, writeName } from './names.ts'
import type { ErofsDevice, ErofsDirectory, ErofsExtent, ErofsNode, ErofsTime } from './node.ts'
import { XattrTable } from './xattrTable.ts'

/** The root's nid has 16 bits, and the root stands behind the table of devices. */
const MAX_DEVICES = 16_000
const TYPE_OF = new Map(FILE_TYPES.map(([type, bits, number]) => [type, { bits, number }]))

/**
 * Makes an EROFS image of a tree: all but the contents of files that lie in devices, which a mount has to be
 * given in their order. The same tree makes the same bytes.
 *
 * @throws StrataError `unsupported` (STRATA_EROFS_LIMIT) for what the format cannot hold, `invalidArgument` for names that are none
 */
export function writeErofs(root: ErofsDirectory, devices: readonly ErofsDevice[]): Buffer {
  return new ImageWriter(root, devices).write()
}

class ImageWriter {
  readonly #devices: readonly ErofsDevice[]
  readonly #inodes = new InodeTable()
  readonly #xattrs = new XattrTable()
  readonly #epoch: ErofsTime
  /** Block address of each device, and of what is behind the last. */
  readonly #addresses: number[] = []
  #image: Buffer = Buffer.alloc(0)

  constructor(root: ErofsDirectory, devices: readonly ErofsDevice[]) {
    if (devices.length > MAX_DEVICES) throw beyond(`${devices.length} devices`)
    this.#devices = devices
    this.#collect(root)
    this.#epoch = commonTime(this.#inodes.nodes)
  }

  write(): Buffer {
    const shared = this.#xattrs.shared()
    const devicesEnd = SUPER_OFFSET + SUPER_BYTES + this.#devices.length * DEVICE_BYTES
    // Behind what the checksum covers, so that changed inodes do not touch it.
    const xattrsAt = this.#layOut(Math.max(devicesEnd, SUPER_OFFSET + BLOCK_BYTES))
    const end = roundUp(xattrsAt + shared.length, BLOCK_BYTES)
    this.#addressDevices(end / BLOCK_BYTES)
    this.#image = Buffer.alloc(end)
    shared.copy(this.#image, xattrsAt)
    for (let n = 0; n < this.#inodes.count; n += 1) this.#writeInode(n)
    this.#writeDevices()
    this.#writeSuper(shared.length > 0 ? xattrsAt / BLOCK_BYTES : 0)
    return this.#image
  }

  /** Lists all inodes: the root first, then those of one directory side by side. */
  #collect(root: ErofsDirectory): void {
    const inodes = this.#inodes
    /** Those that may have another name. */
    const linked = new Map<ErofsNode, number>()
    const top = this.#place(root)
    linked.set(root, top)
    const pending: { readonly directory: ErofsDirectory; readonly n: number; readonly parent: number }[] = [
      { directory: root, n: top, parent: top },
    ]
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      const { directory, n, parent } = next
      const { children } = directory
      const below: typeof pending = []
      // The links of a directory: its own name, its dot, and the dots of those in it.
      inodes.links[n] = 2
      const names = sortedNames(['.', '..', ...children.keys()])
      inodes.size[n] = directorySize(names)
      const targets = new Uint32Array(names.length)
      inodes.entries.set(n, { names, targets })
      for (const [at, name] of names.entries()) {
        const child = children.get(name)
        if (name === '.' || name === '..') {
          if (child !== undefined) {
            throw new StrataError('invalidArgument', 'STRATA_EROFS_NAME', 'Cannot write EROFS image: "." and ".." are no file names')
          }
          targets[at] = name === '.' ? n : parent
          continue
        }
        let target = linked.get(child!)
        if (target === undefined) {
          target = this.#place(child!)
          if (child!.names !== 1) linked.set(child!, target)
        }
        targets[at] = target
        inodes.links[target]! += 1
        if (child!.type !== 'directory') continue
        if (inodes.links[target]! > 1)
          throw new StrataError('invalidArgument', 'STRATA_EROFS_TREE', 'Cannot write EROFS image: a directory has two names')
        inodes.links[n] += 1
        below.push({ directory: child!, n: target, parent: n })
      }
      for (const each of below.toReversed()) pending.push(each)
    }
  }

  #place(node: ErofsNode): number {
    const { size, own, map } = contentOf(node)
    this.#xattrs.add(node.xattrs)
    const n = this.#inodes.add(node, size ?? 0, own === true)
    if (map !== undefined) this.#inodes.maps.set(n, map)
    return n
  }

  /** Gives every inode its place, from `start` on, and then contents their blocks; returns where the image ends. */
  #layOut(start: number): number {
    const inodes = this.#inodes
    let at = start
    for (let n = 0; n < inodes.count; n += 1) {
      const node = inodes.nodes[n]!
      if (this.#needsExtended(n)) inodes.extended[n] = 1
      const body = this.#xattrs.bodyOf(node.xattrs)
      if (body !== undefined) inodes.xattrs.set(n, body)
      const header = inodes.headerBytes(n)
      const size = inodes.size[n]!
      const tail = node.type === 'directory' ? size % BLOCK_BYTES : size
      const map = inodes.maps.get(n)
      let beside = 0
      if (map !== undefined) {
        inodes.layout[n] = CHUNK_BASED
        beside = mapOffset(header) - header + map.chunks * CHUNK_INDEX_BYTES
      } else if (inodes.own[n] === 1 && tail > 0 && header + tail <= BLOCK_BYTES) {
        // What stands beside an inode must not reach into another block.
        inodes.layout[n] = FLAT_INLINE
        beside = tail
        if ((at % BLOCK_BYTES) + header + tail > BLOCK_BYTES) at = roundUp(at, BLOCK_BYTES)
      }
      inodes.position[n] = at
      at = roundUp(at + header + beside, NID_BYTES)
    }
    at = roundUp(at, BLOCK_BYTES)
    for (let n = 0; n < inodes.count; n += 1) {
      if (inodes.own[n] === 0) continue
      const size = inodes.size[n]!
      const isInline = inodes.layout[n] === FLAT_INLINE
      const bytes = isInline ? size - (size % BLOCK_BYTES) : size
      if (bytes === 0 || (isInline && inodes.nodes[n]!.type !== 'directory')) continue
      inodes.address[n] = at / BLOCK_BYTES
      at = roundUp(at + bytes, BLOCK_BYTES)
    }
    return at
  }

  /** The short form has 16 bits for owners and links, 32 for the size, and the time that most others have. */
  #needsExtended(n: number): boolean {
    const node = this.#inodes.nodes[n]!
    const { seconds, nanoseconds } = node.modifiedAt
    const sameTime = seconds === this.#epoch.seconds && nanoseconds === this.#epoch.nanoseconds
    if (node.type === 'directory' && node.changeable === true) return true
    return !sameTime || node.uid > 0xffff || node.gid > 0xffff || this.#inodes.links[n]! > 0xffff || this.#inodes.size[n]! >= 2 ** 32
  }

  #addressDevices(blocks: number): void {
    let address = blocks
    for (const { bytes } of this.#devices) {
      this.#addresses.push(address)
      address += Math.ceil(bytes / BLOCK_BYTES)
    }
    if (address > LAST_ADDRESS) throw beyond(`${address} blocks`)
  }

  #writeInode(n: number): void {
    const inodes = this.#inodes
    const node = inodes.nodes[n]!
    const at = inodes.position[n]!
    const size = inodes.size[n]!
    const links = inodes.links[n]!
    const extended = inodes.extended[n]!
    const xattrs = inodes.xattrs.get(n)
    const map = inodes.maps.get(n)
    const image = this.#image
    image.writeUInt16LE((inodes.layout[n]! << 1) | extended, at + INODE.format)
    if (xattrs !== undefined) {
      image.writeUInt16LE((xattrs.length - 12) / 4 + 1, at + INODE.xattrCount)
      xattrs.copy(image, at + inodes.headerBytes(n) - xattrs.length)
    }
    image.writeUInt16LE(TYPE_OF.get(node.type)!.bits | (node.mode & 0o7777), at + INODE.mode)
    image.writeUInt32LE(size % 2 ** 32, at + INODE.size)
    image.writeUInt32LE(this.#addressOf(n, map), at + INODE.address)
    image.writeUInt32LE(n + 1, at + INODE.number)
    if (extended === 1) {
      image.writeUInt32LE(Math.floor(size / 2 ** 32), at + INODE.size + 4)
      image.writeUInt32LE(node.uid, at + EXTENDED.uid)
      image.writeUInt32LE(node.gid, at + EXTENDED.gid)
      image.writeBigInt64LE(BigInt(node.modifiedAt.seconds), at + EXTENDED.seconds)
      image.writeUInt32LE(node.modifiedAt.nanoseconds, at + EXTENDED.nanoseconds)
      image.writeUInt32LE(links, at + EXTENDED.links)
    } else {
      image.writeUInt16LE(links, at + COMPACT.links)
      image.writeUInt16LE(node.uid, at + COMPACT.uid)
      image.writeUInt16LE(node.gid, at + COMPACT.gid)
    }
    if (map !== undefined) {
      for (const extent of map.extents) this.#blockOf(extent)
      writeChunkMap(image.subarray(at + mapOffset(inodes.headerBytes(n))), map)
    } else if (inodes.own[n] === 1) this.#writeContent(n)
  }

  /** The field that means something else for each kind of inode. */
  #addressOf(n: number, map: ChunkMap | undefined): number {
    const node = this.#inodes.nodes[n]!
    if (map !== undefined) return CHUNK_INDEXES | (map.bits - BLOCK_BITS)
    if (node.type === 'character' || node.type === 'block') return deviceNumber(node.device ?? { major: 0, minor: 0 })
    if (node.type !== 'file' || this.#inodes.own[n] === 1) return this.#inodes.address[n]!
    const { size, content } = node
    const extent = content instanceof Uint8Array ? undefined : wholeExtent(size, content)
    return extent === undefined ? 0 : this.#blockOf(extent)
  }

  #blockOf({ device, position }: ErofsExtent): number {
    const base = device === -1 ? 0 : this.#addresses[device]
    if (base === undefined)
      throw new StrataError('invalidArgument', 'STRATA_EROFS_TREE', `Cannot write EROFS image: there is no device ${device}`)
    return base + position / BLOCK_BYTES
  }

  #writeContent(n: number): void {
    const inodes = this.#inodes
    const node = inodes.nodes[n]!
    const size = inodes.size[n]!
    const isInline = inodes.layout[n] === FLAT_INLINE
    const beside = inodes.position[n]! + inodes.headerBytes(n)
    const blocks = inodes.address[n]! * BLOCK_BYTES
    const entries = inodes.entries.get(n)
    if (entries === undefined) {
      const at = isInline ? beside : blocks
      if (node.type === 'symlink') writeName(this.#image, node.target, at)
      else if (node.type === 'file' && node.content instanceof Uint8Array) this.#image.set(node.content, at)
      return
    }
    const target = (at: number): { nid: number; type: number } => {
      const inode = entries.targets[at]!
      return { nid: inodes.position[inode]! / NID_BYTES, type: TYPE_OF.get(inodes.nodes[inode]!.type)!.number }
    }
    if (!isInline) {
      writeDirectory(this.#image.subarray(blocks, blocks + size), entries.names, target)
      return
    }
    const bytes = Buffer.alloc(size)
    writeDirectory(bytes, entries.names, target)
    const full = size - (size % BLOCK_BYTES)
    bytes.copy(this.#image, blocks, 0, full)
    bytes.copy(this.#image, beside, full)
  }

  #writeDevices(): void {
    for (const [n, { bytes, tag }] of this.#devices.entries()) {
      const at = SUPER_OFFSET + SUPER_BYTES + n * DEVICE_BYTES
      this.#image.write(tag ?? '', at + DEVICE.tag, TAG_BYTES, 'latin1')
      this.#image.writeUInt32LE(Math.ceil(bytes / BLOCK_BYTES), at + DEVICE.blocks)
      this.#image.writeUInt32LE(this.#addresses[n]!, at + DEVICE.address)
    }
  }

  #writeSuper(xattrBlock: number): void {
    const bytes = this.#image.subarray(SUPER_OFFSET, SUPER_OFFSET + BLOCK_BYTES)
    bytes.writeUInt32LE(SUPER_MAGIC, SUPER.magic)
    bytes.writeUInt32LE(COMPAT_CHECKSUM | COMPAT_MTIME, SUPER.featureCompat)
    bytes[SUPER.blockBits] = BLOCK_BITS
    // The root is the first inode, so its nid fits.
    bytes.writeUInt16LE(this.#inodes.position[0]! / NID_BYTES, SUPER.rootNid)
    bytes.writeUInt32LE(this.#inodes.count, SUPER.inodes)
    bytes.writeBigInt64LE(BigInt(this.#epoch.seconds), SUPER.buildTime)
    bytes.writeUInt32LE(this.#epoch.nanoseconds, SUPER.buildNanoseconds)
    bytes.writeUInt32LE(this.#image.length / BLOCK_BYTES, SUPER.blocks)
    bytes.writeUInt32LE(xattrBlock, SUPER.xattrBlock)
    const chunked = this.#inodes.maps.size > 0
    const incompatible = (chunked ? INCOMPAT_CHUNKED_FILE : 0) | (this.#devices.length > 0 ? INCOMPAT_DEVICE_TABLE : 0)
    bytes.writeUInt32LE(incompatible, SUPER.featureIncompat)
    bytes.writeUInt16LE(this.#devices.length, SUPER.extraDevices)
    bytes.writeUInt16LE((SUPER_OFFSET + SUPER_BYTES) / DEVICE_BYTES, SUPER.deviceSlot)
    bytes.writeUInt32LE(checksum(bytes), SUPER.checksum)
  }
}

interface Content {
  /** Bytes of what the inode says is its content. */
  readonly size?: number
  /** It has content that the image itself has: beside the inode where it fits, else in blocks. */
  readonly own?: boolean
  readonly map?: ChunkMap
}

function contentOf(node: ErofsNode): Content {
  // Its size is known with its names.
  if (node.type === 'directory') return { own: true }
  if (node.type === 'symlink') {
    const size = nameLength(node.target)
    if (size === 0 || size > TARGET_BYTES) throw beyond(`a symlink of ${size} bytes`)
    return { size, own: true }
  }
  if (node.type !== 'file') return {}
  if (node.content instanceof Uint8Array) return { size: node.size, own: node.size > 0 }
  if (node.size === 0) return {}
  const whole = wholeExtent(node.size, node.content)
  if (whole !== undefined && whole.position % BLOCK_BYTES === 0) return { size: node.size }
  return { size: node.size, map: chunkMap(node.size, node.content) }
}

/** Where the indexes of chunks stand behind an inode with its xattrs. */
function mapOffset(header: number): number {
  return roundUp(header, CHUNK_INDEX_BYTES)
}

/** The whole second that most inodes have as their time: those need not say it. */
function commonTime(nodes: readonly ErofsNode[]): ErofsTime {
  const counts = new Map<number, number>()
  for (const { modifiedAt } of nodes) {
    const { seconds, nanoseconds } = modifiedAt
    if (nanoseconds === 0) counts.set(seconds, (counts.get(seconds) ?? 0) + 1)
  }
  let best = { seconds: 0, count: 0 }
  for (const [seconds, count] of counts) if (count > best.count) best = { seconds, count }
  return { seconds: best.seconds, nanoseconds: 0 }
}

/** As the kernel's new_encode_dev(): 12 bits of major, 20 of minor. */
function deviceNumber({ major, minor }: { readonly major: number; readonly minor: number }): number {
  return ((minor & 0xff) | (major << 8) | ((minor & 0xfff00) << 12)) >>> 0
}

function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit
}

function beyond(what: string): StrataError {
  return new StrataError('unsupported', 'STRATA_EROFS_LIMIT', `Cannot write EROFS image: it cannot hold ${what}`)
}
