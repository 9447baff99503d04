import { decodeFileName, encodeFileName, StrataError } from '../base/index.ts'
import { type DiffId, type Digest, parseDiffId, parseDigest } from '../oci/index.ts'
import type { LayerEntry, LayerIndex, LayerNode, NodeType, SparseExtent } from './entry.ts'
import { indexCrc } from './layerIndexEncode.ts'
import {
  DIGEST_BYTES,
  FLAG_DEPENDS_ON_LOWER,
  FLAG_DIGESTS,
  HARD_LINK,
  HEADER,
  HEADER_BYTES,
  IMPLIED,
  LOWER_LINK,
  MAGIC,
  OPAQUE,
  RECORD,
  RECORD_BYTES,
  SPARSE,
  TYPES,
  VERSION,
} from './layerIndexFormat.ts'

/**
 * Opens an index that `applyLayer` or `indexLayer` made. Nothing is decoded until it is asked for, and
 * nothing that was decoded is kept; `bytes` must stay unchanged.
 *
 * @throws StrataError `dataLoss` (STRATA_LAYER_INDEX_DAMAGED) when the checksum is wrong, `unsupported` for another version
 */
export function decodeLayerIndex(bytes: Uint8Array): LayerIndex {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (buffer.length < HEADER_BYTES || buffer.toString('latin1', 0, MAGIC.length) !== MAGIC) throw damaged('it is not a layer index')
  const version = buffer.readUInt32LE(HEADER.version)
  if (version !== VERSION) {
    throw new StrataError('unsupported', 'STRATA_LAYER_INDEX_VERSION', `Cannot read layer index: it has version ${version}, not ${VERSION}`)
  }
  if (indexCrc([buffer]) !== buffer.readUInt32LE(HEADER.crc)) throw damaged('its checksum is wrong')
  return new EncodedLayerIndex(buffer)
}

const ROOT = 0

class EncodedLayerIndex implements LayerIndex {
  readonly diffId: DiffId
  readonly tarBytes: number
  readonly contentBytes: number
  readonly entryCount: number
  readonly dependsOnLower: boolean
  readonly #bytes: Buffer
  readonly #childrenAt: number
  readonly #digestsAt: number | undefined
  readonly #heapAt: number

  constructor(bytes: Buffer) {
    this.#bytes = bytes
    this.diffId = parseDiffId(`sha256:${bytes.toString('hex', HEADER.diffId, HEADER.diffId + DIGEST_BYTES)}`)
    this.tarBytes = bytes.readDoubleLE(HEADER.tarBytes)
    this.contentBytes = bytes.readDoubleLE(HEADER.contentBytes)
    this.entryCount = bytes.readUInt32LE(HEADER.entryCount)
    const flags = bytes.readUInt32LE(HEADER.flags)
    this.dependsOnLower = (flags & FLAG_DEPENDS_ON_LOWER) !== 0
    this.#childrenAt = HEADER_BYTES + this.entryCount * RECORD_BYTES
    const childrenEnd = this.#childrenAt + (this.entryCount - 1) * 4
    this.#digestsAt = (flags & FLAG_DIGESTS) === 0 ? undefined : childrenEnd
    this.#heapAt = this.#digestsAt === undefined ? childrenEnd : childrenEnd + this.entryCount * DIGEST_BYTES
    if (this.#heapAt + bytes.readDoubleLE(HEADER.heapBytes) !== bytes.length) throw damaged('its length is wrong')
  }

  get(path: string): LayerEntry | undefined {
    const ordinal = this.#find(path)
    return ordinal === undefined ? undefined : this.#entry(ordinal, path)
  }

  *children(path: string): Generator<LayerEntry> {
    const directory = this.#find(path)
    if (directory === undefined || this.#type(directory) !== 'directory') return
    const [first, count] = this.#pair(directory)
    for (let i = first; i < first + count; i += 1) {
      const ordinal = this.#bytes.readUInt32LE(this.#childrenAt + i * 4)
      yield this.#entry(ordinal, joined(path, this.#name(ordinal)))
    }
  }

  *entries(): Generator<LayerEntry> {
    // The directories on the way to the present record, the root first.
    const above: { ordinal: number; path: string }[] = []
    for (let ordinal = 0; ordinal < this.entryCount; ordinal += 1) {
      let path = ''
      if (ordinal !== ROOT) {
        const parent = this.#bytes.readUInt32LE(recordAt(ordinal) + RECORD.parent)
        while (above.at(-1)!.ordinal !== parent) above.pop()
        path = joined(above.at(-1)!.path, this.#name(ordinal))
      }
      yield this.#entry(ordinal, path)
      if (this.#type(ordinal) === 'directory') above.push({ ordinal, path })
    }
  }

  *payloads(): Generator<LayerNode> {
    const bytes = this.#bytes
    const dataOffset = (ordinal: number): number => bytes.readDoubleLE(recordAt(ordinal) + RECORD.dataOffset)
    const ordinals: number[] = []
    for (let ordinal = 0; ordinal < this.entryCount; ordinal += 1) {
      if (this.#type(ordinal) !== 'file' || bytes.readDoubleLE(recordAt(ordinal) + RECORD.size) === 0) continue
      if ((this.#flags(ordinal) & (HARD_LINK | LOWER_LINK)) === 0) ordinals.push(ordinal)
    }
    for (const ordinal of Uint32Array.from(ordinals).sort((a, b) => dataOffset(a) - dataOffset(b))) {
      const node = this.#node(ordinal, this.#path(ordinal), 'file', this.#flags(ordinal))
      if (node.storedSize > 0) yield node
    }
  }

  #find(path: string): number | undefined {
    let at = ROOT
    if (path === '') return at
    for (const name of path.split('/')) {
      if (this.#type(at) !== 'directory') return undefined
      const child = this.#findChild(at, encodeFileName(name))
      if (child === undefined) return undefined
      at = child
    }
    return at
  }

  #findChild(directory: number, name: Buffer): number | undefined {
    const [first, count] = this.#pair(directory)
    let low = first
    let high = first + count - 1
    while (low <= high) {
      const middle = (low + high) >>> 1
      const ordinal = this.#bytes.readUInt32LE(this.#childrenAt + middle * 4)
      const [start, end] = this.#nameRange(ordinal)
      const order = name.compare(this.#bytes, start, end)
      if (order === 0) return ordinal
      if (order > 0) low = middle + 1
      else high = middle - 1
    }
    return undefined
  }

  #entry(ordinal: number, path: string): LayerEntry {
    const type = this.#type(ordinal)
    if (type === 'whiteout') return { path, type }
    const flags = this.#flags(ordinal)
    if ((flags & HARD_LINK) === 0) return this.#node(ordinal, path, type, flags)
    const [target] = this.#pair(ordinal)
    const node = this.#node(target, path, type, this.#flags(target))
    // Every name of a file below says so itself.
    return node.linkOf === undefined ? { ...node, linkOf: this.#path(target) } : node
  }

  #node(ordinal: number, path: string, type: NodeType, flags: number): LayerNode {
    const bytes = this.#bytes
    const at = recordAt(ordinal)
    const [first, second] = this.#pair(ordinal)
    const size = bytes.readDoubleLE(at + RECORD.size)
    const xattrsAt = bytes.readUInt32LE(at + RECORD.xattrsAt)
    const sparse = (flags & SPARSE) === 0 ? undefined : this.#sparse(first)
    const digest = this.#digest(ordinal)
    return {
      path,
      type,
      mode: bytes.readUInt32LE(at + RECORD.mode),
      uid: bytes.readUInt32LE(at + RECORD.uid),
      gid: bytes.readUInt32LE(at + RECORD.gid),
      modifiedAt: { seconds: bytes.readDoubleLE(at + RECORD.seconds), nanoseconds: bytes.readUInt32LE(at + RECORD.nanoseconds) },
      xattrs: xattrsAt === 0 ? NO_XATTRS : this.#xattrs(xattrsAt),
      size,
      dataOffset: bytes.readDoubleLE(at + RECORD.dataOffset),
      storedSize: sparse?.storedSize ?? size,
      ...(sparse === undefined ? {} : { sparse: sparse.extents }),
      ...(type === 'symlink' ? { linkTarget: this.#text(first, second) } : {}),
      ...(type === 'character' || type === 'block' ? { device: { major: first, minor: second } } : {}),
      ...((flags & LOWER_LINK) === 0 ? {} : { linkOf: this.#text(first, second) }),
      ...((flags & IMPLIED) === 0 ? {} : { implied: true }),
      ...((flags & OPAQUE) === 0 ? {} : { opaque: true }),
      ...(digest === undefined ? {} : { digest }),
    }
  }

  #path(ordinal: number): string {
    const names: string[] = []
    for (let at = ordinal; at !== ROOT; at = this.#bytes.readUInt32LE(recordAt(at) + RECORD.parent)) names.push(this.#name(at))
    return names.toReversed().join('/')
  }

  #type(ordinal: number): (typeof TYPES)[number] {
    return TYPES[this.#bytes[recordAt(ordinal) + RECORD.type]!]!
  }

  #flags(ordinal: number): number {
    return this.#bytes.readUInt16LE(recordAt(ordinal) + RECORD.flags)
  }

  #pair(ordinal: number): readonly [number, number] {
    const at = recordAt(ordinal)
    return [this.#bytes.readUInt32LE(at + RECORD.first), this.#bytes.readUInt32LE(at + RECORD.second)]
  }

  #nameRange(ordinal: number): readonly [number, number] {
    const start = this.#heapAt + this.#bytes.readUInt32LE(recordAt(ordinal) + RECORD.nameAt)
    return [start, start + this.#bytes[recordAt(ordinal) + RECORD.nameBytes]!]
  }

  #name(ordinal: number): string {
    return decodeFileName(this.#bytes.subarray(...this.#nameRange(ordinal)))
  }

  #text(at: number, size: number): string {
    return decodeFileName(this.#bytes.subarray(this.#heapAt + at, this.#heapAt + at + size))
  }

  #sparse(at: number): { extents: readonly SparseExtent[]; storedSize: number } {
    const start = this.#heapAt + at
    const extents: SparseExtent[] = []
    for (let i = 0; i < this.#bytes.readUInt32LE(start); i += 1) {
      const extent = start + 12 + i * 16
      extents.push({ offset: this.#bytes.readDoubleLE(extent), size: this.#bytes.readDoubleLE(extent + 8) })
    }
    return { extents, storedSize: this.#bytes.readDoubleLE(start + 4) }
  }

  #xattrs(at: number): ReadonlyMap<string, Uint8Array> {
    const xattrs = new Map<string, Uint8Array>()
    let next = this.#heapAt + at + 4
    for (let count = this.#bytes.readUInt32LE(this.#heapAt + at); count > 0; count -= 1) {
      const nameBytes = this.#bytes.readUInt32LE(next)
      const valueBytes = this.#bytes.readUInt32LE(next + 4)
      const value = next + 8 + nameBytes
      xattrs.set(decodeFileName(this.#bytes.subarray(next + 8, value)), this.#bytes.subarray(value, value + valueBytes))
      next = value + valueBytes
    }
    return xattrs
  }

  #digest(ordinal: number): Digest | undefined {
    if (this.#digestsAt === undefined) return undefined
    const at = this.#digestsAt + ordinal * DIGEST_BYTES
    const hex = this.#bytes.toString('hex', at, at + DIGEST_BYTES)
    return /^0+$/.test(hex) ? undefined : parseDigest(`sha256:${hex}`)
  }
}

const NO_XATTRS: ReadonlyMap<string, Uint8Array> = new Map()

function recordAt(ordinal: number): number {
  return HEADER_BYTES + ordinal * RECORD_BYTES
}

function joined(directory: string, name: string): string {
  return directory === '' ? name : `${directory}/${name}`
}

function damaged(state: string): StrataError {
  return new StrataError('dataLoss', 'STRATA_LAYER_INDEX_DAMAGED', `Cannot read layer index: ${state}`)
}
