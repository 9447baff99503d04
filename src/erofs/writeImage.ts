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
  COMPACT_BYTES,
  COMPAT_CHECKSUM,
  COMPAT_MTIME,
  DEVICE,
  DEVICE_BYTES,
  EXTENDED,
  EXTENDED_BYTES,
  FILE_TYPES,
  FLAT_INLINE,
  FLAT_PLAIN,
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
import { nameLength, sortedNames, writeName } from './names.ts'
import type { ErofsDevice, ErofsDirectory, ErofsExtent, ErofsNode, ErofsTime } from './node.ts'
import { XattrTable } from './xattrTable.ts'

/** The root's nid has 16 bits, and the root stands behind the table of devices. */
const MAX_DEVICES = 16_000
const TYPE_OF = new Map(FILE_TYPES.map(([type, bits, number]) => [type, { bits, number }]))

const NO_NAMES: readonly string[] = []
const NO_TARGETS: Placed[] = []

/** An inode on its way into the image. */
interface Placed {
  readonly node: ErofsNode
  readonly type: { readonly bits: number; readonly number: number }
  links: number
  /** Bytes of what the inode says is its content. */
  readonly size: number
  /** Content that the image itself has: beside the inode where it fits, else in blocks. */
  readonly own: boolean
  readonly map: ChunkMap | undefined
  readonly names: readonly string[]
  readonly targets: Placed[]
  extended: boolean
  xattrs: Buffer | undefined
  position: number
  layout: number
  /** Block address of content. */
  address: number
}

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
  readonly #placed: Placed[] = []
  readonly #linked = new Map<ErofsNode, Placed>()
  readonly #xattrs = new XattrTable()
  readonly #epoch: ErofsTime
  /** Block address of each device, and of what is behind the last. */
  readonly #addresses: number[] = []
  #image: Buffer = Buffer.alloc(0)

  constructor(root: ErofsDirectory, devices: readonly ErofsDevice[]) {
    if (devices.length > MAX_DEVICES) throw beyond(`${devices.length} devices`)
    this.#devices = devices
    this.#collect(root)
    this.#epoch = commonTime(this.#placed)
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
    for (const [n, placed] of this.#placed.entries()) this.#writeInode(placed, n + 1)
    this.#writeDevices()
    this.#writeSuper(shared.length > 0 ? xattrsAt / BLOCK_BYTES : 0)
    return this.#image
  }

  /** Lists all inodes: the root first, then those of one directory side by side. */
  #collect(root: ErofsDirectory): void {
    const top = this.#place(root)
    const pending: { readonly placed: Placed; readonly parent: Placed }[] = [{ placed: top, parent: top }]
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      const { placed, parent } = next
      const { children } = placed.node as ErofsDirectory
      const below: Placed[] = []
      // The links of a directory: its own name, its dot, and the dots of those in it.
      placed.links = 2
      for (const name of placed.names) {
        const child = children.get(name)
        if (child === undefined) {
          placed.targets.push(name === '.' ? placed : parent)
          continue
        }
        const target = this.#linked.get(child) ?? this.#place(child)
        placed.targets.push(target)
        target.links += 1
        if (child.type !== 'directory') continue
        if (target.links > 1)
          throw new StrataError('invalidArgument', 'STRATA_EROFS_TREE', 'Cannot write EROFS image: a directory has two names')
        placed.links += 1
        below.push(target)
      }
      for (const directory of below.toReversed()) pending.push({ placed: directory, parent: placed })
    }
  }

  #place(node: ErofsNode): Placed {
    const placed: Placed = {
      node,
      type: TYPE_OF.get(node.type)!,
      links: 0,
      size: 0,
      own: false,
      map: undefined,
      names: NO_NAMES,
      targets: node.type === 'directory' ? [] : NO_TARGETS,
      extended: false,
      xattrs: undefined,
      position: 0,
      layout: FLAT_PLAIN,
      address: 0,
      ...contentOf(node),
    }
    this.#xattrs.add(node.xattrs)
    this.#placed.push(placed)
    this.#linked.set(node, placed)
    return placed
  }

  /** Gives every inode its place, from `start` on, and then contents their blocks; returns where the image ends. */
  #layOut(start: number): number {
    let at = start
    for (const placed of this.#placed) {
      placed.extended = this.#needsExtended(placed)
      placed.xattrs = this.#xattrs.bodyOf(placed.node.xattrs)
      const header = headerBytes(placed)
      const tail = placed.node.type === 'directory' ? placed.size % BLOCK_BYTES : placed.size
      let beside = 0
      if (placed.map !== undefined) {
        placed.layout = CHUNK_BASED
        beside = mapOffset(header) - header + placed.map.chunks * CHUNK_INDEX_BYTES
      } else if (placed.own && tail > 0 && header + tail <= BLOCK_BYTES) {
        // What stands beside an inode must not reach into another block.
        placed.layout = FLAT_INLINE
        beside = tail
        if ((at % BLOCK_BYTES) + header + tail > BLOCK_BYTES) at = roundUp(at, BLOCK_BYTES)
      }
      placed.position = at
      at = roundUp(at + header + beside, NID_BYTES)
    }
    at = roundUp(at, BLOCK_BYTES)
    for (const placed of this.#placed) {
      if (!placed.own) continue
      const bytes = placed.layout === FLAT_INLINE ? placed.size - (placed.size % BLOCK_BYTES) : placed.size
      if (bytes === 0 || (placed.layout === FLAT_INLINE && placed.node.type !== 'directory')) continue
      placed.address = at / BLOCK_BYTES
      at = roundUp(at + bytes, BLOCK_BYTES)
    }
    return at
  }

  /** The short form has 16 bits for owners and links, 32 for the size, and the time that most others have. */
  #needsExtended({ node, size, links }: Placed): boolean {
    const { seconds, nanoseconds } = node.modifiedAt
    const sameTime = seconds === this.#epoch.seconds && nanoseconds === this.#epoch.nanoseconds
    if (node.type === 'directory' && node.changeable === true) return true
    return !sameTime || node.uid > 0xffff || node.gid > 0xffff || links > 0xffff || size >= 2 ** 32
  }

  #addressDevices(blocks: number): void {
    let address = blocks
    for (const { bytes } of this.#devices) {
      this.#addresses.push(address)
      address += Math.ceil(bytes / BLOCK_BYTES)
    }
    if (address > LAST_ADDRESS) throw beyond(`${address} blocks`)
  }

  #writeInode(placed: Placed, number: number): void {
    const { node, position: at, extended, layout, size, xattrs } = placed
    const image = this.#image
    image.writeUInt16LE((layout << 1) | (extended ? 1 : 0), at + INODE.format)
    if (xattrs !== undefined) {
      image.writeUInt16LE((xattrs.length - 12) / 4 + 1, at + INODE.xattrCount)
      xattrs.copy(image, at + headerBytes(placed) - xattrs.length)
    }
    image.writeUInt16LE(placed.type.bits | (node.mode & 0o7777), at + INODE.mode)
    image.writeUInt32LE(size % 2 ** 32, at + INODE.size)
    image.writeUInt32LE(this.#addressOf(placed), at + INODE.address)
    image.writeUInt32LE(number, at + INODE.number)
    if (extended) {
      image.writeUInt32LE(Math.floor(size / 2 ** 32), at + INODE.size + 4)
      image.writeUInt32LE(node.uid, at + EXTENDED.uid)
      image.writeUInt32LE(node.gid, at + EXTENDED.gid)
      image.writeBigInt64LE(BigInt(node.modifiedAt.seconds), at + EXTENDED.seconds)
      image.writeUInt32LE(node.modifiedAt.nanoseconds, at + EXTENDED.nanoseconds)
      image.writeUInt32LE(placed.links, at + EXTENDED.links)
    } else {
      image.writeUInt16LE(placed.links, at + COMPACT.links)
      image.writeUInt16LE(node.uid, at + COMPACT.uid)
      image.writeUInt16LE(node.gid, at + COMPACT.gid)
    }
    if (placed.map !== undefined) {
      for (const extent of placed.map.extents) this.#blockOf(extent)
      writeChunkMap(image.subarray(at + mapOffset(headerBytes(placed))), placed.map)
    } else if (placed.own) this.#writeContent(placed)
  }

  /** The field that means something else for each kind of inode. */
  #addressOf({ node, map, address }: Placed): number {
    if (map !== undefined) return CHUNK_INDEXES | (map.bits - BLOCK_BITS)
    if (node.type === 'character' || node.type === 'block') return deviceNumber(node.device ?? { major: 0, minor: 0 })
    if (node.type !== 'file' || node.content instanceof Uint8Array) return address
    const extent = wholeExtent(node.size, node.content)
    return extent === undefined ? 0 : this.#blockOf(extent)
  }

  #blockOf({ device, position }: ErofsExtent): number {
    const base = device === -1 ? 0 : this.#addresses[device]
    if (base === undefined)
      throw new StrataError('invalidArgument', 'STRATA_EROFS_TREE', `Cannot write EROFS image: there is no device ${device}`)
    return base + position / BLOCK_BYTES
  }

  #writeContent(placed: Placed): void {
    const { node, size, layout } = placed
    const beside = placed.position + headerBytes(placed)
    const blocks = placed.address * BLOCK_BYTES
    if (node.type !== 'directory') {
      const at = layout === FLAT_INLINE ? beside : blocks
      if (node.type === 'symlink') writeName(this.#image, node.target, at)
      else if (node.type === 'file' && node.content instanceof Uint8Array) this.#image.set(node.content, at)
      return
    }
    const target = (n: number): { nid: number; type: number } => {
      const { position, type } = placed.targets[n]!
      return { nid: position / NID_BYTES, type: type.number }
    }
    if (layout === FLAT_PLAIN) {
      writeDirectory(this.#image.subarray(blocks, blocks + size), placed.names, target)
      return
    }
    const bytes = Buffer.alloc(size)
    writeDirectory(bytes, placed.names, target)
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
    const chunked = this.#placed.some(({ layout }) => layout === CHUNK_BASED)
    bytes.writeUInt32LE(SUPER_MAGIC, SUPER.magic)
    bytes.writeUInt32LE(COMPAT_CHECKSUM | COMPAT_MTIME, SUPER.featureCompat)
    bytes[SUPER.blockBits] = BLOCK_BITS
    // The root is the first inode, so its nid fits.
    bytes.writeUInt16LE(this.#placed[0]!.position / NID_BYTES, SUPER.rootNid)
    bytes.writeUInt32LE(this.#placed.length, SUPER.inodes)
    bytes.writeBigInt64LE(BigInt(this.#epoch.seconds), SUPER.buildTime)
    bytes.writeUInt32LE(this.#epoch.nanoseconds, SUPER.buildNanoseconds)
    bytes.writeUInt32LE(this.#image.length / BLOCK_BYTES, SUPER.blocks)
    bytes.writeUInt32LE(xattrBlock, SUPER.xattrBlock)
    const incompatible = (chunked ? INCOMPAT_CHUNKED_FILE : 0) | (this.#devices.length > 0 ? INCOMPAT_DEVICE_TABLE : 0)
    bytes.writeUInt32LE(incompatible, SUPER.featureIncompat)
    bytes.writeUInt16LE(this.#devices.length, SUPER.extraDevices)
    bytes.writeUInt16LE((SUPER_OFFSET + SUPER_BYTES) / DEVICE_BYTES, SUPER.deviceSlot)
    bytes.writeUInt32LE(checksum(bytes), SUPER.checksum)
  }
}

type Content = Partial<Pick<Placed, 'size' | 'own' | 'map' | 'names'>>

function contentOf(node: ErofsNode): Content {
  if (node.type === 'directory') {
    const names = sortedNames(['.', '..', ...node.children.keys()])
    if (node.children.has('.') || node.children.has('..')) {
      throw new StrataError('invalidArgument', 'STRATA_EROFS_NAME', 'Cannot write EROFS image: "." and ".." are no file names')
    }
    return { names, size: directorySize(names), own: true }
  }
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

/** Bytes of an inode with its xattrs. */
function headerBytes({ extended, xattrs }: Placed): number {
  return (extended ? EXTENDED_BYTES : COMPACT_BYTES) + (xattrs?.length ?? 0)
}

/** Where the indexes of chunks stand behind an inode with its xattrs. */
function mapOffset(header: number): number {
  return roundUp(header, CHUNK_INDEX_BYTES)
}

/** The whole second that most inodes have as their time: those need not say it. */
function commonTime(placed: readonly Placed[]): ErofsTime {
  const counts = new Map<number, number>()
  for (const { node } of placed) {
    const { seconds, nanoseconds } = node.modifiedAt
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
