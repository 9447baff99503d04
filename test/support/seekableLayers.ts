import { gzipSync, zstdCompressSync } from 'node:zlib'
import { digestOf } from '../../src/oci/index.ts'
import { encodeTarHeader, TAR_END, type TarHeader, tarPadding } from '../../src/tar/index.ts'
import type { Member } from '../layer/layerTars.ts'

/*
 * Writers of layers that have tables of contents, from their documentation: estargz.md of stargz-snapshotter, and the
 * comments of containers/storage's chunked format.
 */

/** A layer as it goes into a registry. */
export interface SeekableLayer {
  readonly blob: Buffer
  /** The plain tar. */
  readonly tar: Buffer
  readonly annotations: Readonly<Record<string, string>>
}

type JsonEntry = Record<string, unknown>

export interface WriterOptions {
  /** Bytes of content in one chunk. */
  readonly chunkBytes?: number
  /** What becomes of the table before it is written. */
  readonly toc?: (entries: JsonEntry[]) => unknown
}

const TYPES = {
  file: 'reg',
  directory: 'dir',
  symlink: 'symlink',
  hardlink: 'hardlink',
  character: 'char',
  block: 'block',
  fifo: 'fifo',
} as const

const asIs = (entries: JsonEntry[]): unknown => ({ version: 1, entries })

function entryOf({ type, path, linkPath, mode, uid, gid, size, modifiedAt, xattrs, device }: TarHeader): JsonEntry {
  const pairs = [...xattrs].map(([key, value]) => [key, Buffer.from(value).toString('base64')])
  const fraction = modifiedAt.nanoseconds === 0 ? '' : `.${String(modifiedAt.nanoseconds).padStart(9, '0')}`
  return {
    type: TYPES[type],
    name: path,
    ...(linkPath === '' ? {} : { linkName: linkPath }),
    mode,
    uid,
    gid,
    ...(size === 0 ? {} : { size }),
    modtime: new Date(modifiedAt.seconds * 1000).toISOString().replace('.000', fraction),
    ...(device === undefined ? {} : { devMajor: device.major, devMinor: device.minor }),
    ...(pairs.length === 0 ? {} : { xattrs: Object.fromEntries(pairs) as unknown }),
  }
}

/** Cuts content; the last chunk's size is left for the caller to leave out. */
function* chunksOf(content: Uint8Array, chunkBytes: number): Generator<{ readonly at: number; readonly bytes: Uint8Array }> {
  for (let at = 0; at < content.length; at += chunkBytes) yield { at, bytes: content.subarray(at, at + chunkBytes) }
}

/** The tar's bytes and a blob of many compressed pieces, side by side. */
class Pieces {
  readonly tar: Uint8Array[] = []
  readonly blob: Buffer[] = []
  offset = 0
  #pending: Uint8Array[] = []
  readonly #compress: (bytes: Uint8Array) => Buffer

  constructor(compress: (bytes: Uint8Array) => Buffer) {
    this.#compress = compress
  }

  /** Goes into the piece that is being made. */
  add(...bytes: readonly Uint8Array[]): void {
    this.tar.push(...bytes)
    this.#pending.push(...bytes)
  }

  endPiece(): void {
    const plain = Buffer.concat(this.#pending)
    this.#pending = []
    if (plain.length > 0) this.raw(this.#compress(plain))
  }

  raw(bytes: Buffer): void {
    this.blob.push(bytes)
    this.offset += bytes.length
  }
}

export function eStargz(members: readonly Member[], { chunkBytes = 1024, toc = asIs }: WriterOptions = {}): SeekableLayer {
  const pieces = new Pieces(bytes => gzipSync(bytes))
  const entries: JsonEntry[] = []
  for (const { content = Buffer.alloc(0), ...header } of members) {
    const entry = entryOf(header)
    entries.push(entry)
    pieces.add(encodeTarHeader(header))
    for (const { at, bytes } of chunksOf(content, chunkBytes)) {
      pieces.endPiece()
      const isLast = at + bytes.length === content.length
      const chunk = {
        offset: pieces.offset,
        ...(at === 0 ? {} : { chunkOffset: at }),
        ...(isLast ? {} : { chunkSize: bytes.length }),
        chunkDigest: digestOf(bytes),
      }
      if (at === 0) Object.assign(entry, { digest: digestOf(content) }, chunk)
      else entries.push({ type: 'chunk', name: header.path, ...chunk })
      pieces.add(bytes)
    }
    pieces.add(tarPadding(content.length))
  }
  pieces.endPiece()
  const json = Buffer.from(JSON.stringify(toc(entries)))
  const tocOffset = pieces.offset
  const header = {
    type: 'file',
    path: 'stargz.index.json',
    linkPath: '',
    mode: 0o444,
    uid: 0,
    gid: 0,
    userName: '',
    groupName: '',
  } as const
  pieces.add(encodeTarHeader({ ...header, size: json.length, modifiedAt: { seconds: 0, nanoseconds: 0 }, xattrs: new Map() }))
  pieces.add(json, tarPadding(json.length), TAR_END)
  pieces.endPiece()
  pieces.raw(footerOf(tocOffset))
  return {
    blob: Buffer.concat(pieces.blob),
    tar: Buffer.concat(pieces.tar),
    annotations: { 'containerd.io/snapshot/stargz/toc.digest': digestOf(json) },
  }
}

/** An empty gzip member whose extra field says where the table is. */
export function footerOf(tocOffset: number): Buffer {
  const extra = Buffer.from(`SG\x16\0${tocOffset.toString(16).padStart(16, '0')}STARGZ`, 'latin1')
  const header = Buffer.from([0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255, extra.length, 0])
  return Buffer.concat([header, extra, Buffer.from([1, 0, 0, 0xff, 0xff]), Buffer.alloc(8)])
}

export function zstdChunked(members: readonly Member[], { chunkBytes = 1024, toc = asIs }: WriterOptions = {}): SeekableLayer {
  const pieces = new Pieces(bytes => zstdCompressSync(bytes))
  const entries: JsonEntry[] = []
  for (const { content = Buffer.alloc(0), ...header } of members) {
    const entry = entryOf(header)
    entries.push(entry)
    pieces.add(encodeTarHeader(header))
    pieces.endPiece()
    const isCut = content.length > chunkBytes
    for (const { at, bytes } of chunksOf(content, chunkBytes)) {
      const isZeros = bytes.every(byte => byte === 0)
      const place = isZeros ? { chunkType: 'zeros' } : { offset: pieces.offset, chunkDigest: digestOf(bytes) }
      const chunk = { ...place, ...(at === 0 ? {} : { chunkOffset: at }), chunkSize: bytes.length }
      if (at > 0) entries.push({ type: 'chunk', name: header.path, ...chunk })
      else Object.assign(entry, { digest: digestOf(content) }, isCut || isZeros ? chunk : { offset: pieces.offset })
      pieces.add(bytes)
      pieces.endPiece()
    }
    if (content.length > 0) entry['endOffset'] = pieces.offset
    pieces.add(tarPadding(content.length))
  }
  pieces.add(TAR_END)
  pieces.endPiece()
  const json = Buffer.from(JSON.stringify(toc(entries)))
  const table = zstdCompressSync(json)
  const start = pieces.offset + 8
  pieces.raw(skippable(table))
  return {
    blob: Buffer.concat(pieces.blob),
    tar: Buffer.concat(pieces.tar),
    annotations: {
      'io.github.containers.zstd-chunked.manifest-checksum': digestOf(table),
      'io.github.containers.zstd-chunked.manifest-position': `${start}:${table.length}:${json.length}:1`,
    },
  }
}

/** RFC 8878 §3.1.2 */
function skippable(bytes: Buffer): Buffer {
  const header = Buffer.alloc(8)
  header.writeUInt32LE(0x184d2a50, 0)
  header.writeUInt32LE(bytes.length, 4)
  return Buffer.concat([header, bytes])
}
