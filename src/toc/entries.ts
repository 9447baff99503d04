import { CHUNK_BLOB_BYTES, CHUNK_CONTENT_BYTES, FILE_BYTES, TOC_BYTES, TOC_OBJECTS } from './limits.ts'
import { tocError } from './tocError.ts'

/** What a table says of one entry of the layer's tar, in the order of the tar. */
export interface TocEntry {
  readonly kind: EntryKind
  readonly name: string
  /** Of symlinks and hard links; else ''. */
  readonly linkName: string
  /** 0 to 0o7777 */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly modifiedAt: { readonly seconds: number; readonly nanoseconds: number }
  readonly xattrs: ReadonlyMap<string, Uint8Array>
  readonly device?: { readonly major: number; readonly minor: number }
  /** Bytes of content: the sum of the chunks. */
  readonly size: number
  readonly chunks: readonly TocChunk[]
}

export type EntryKind = 'file' | 'directory' | 'symlink' | 'hardlink' | 'character' | 'block' | 'fifo'

/** A piece of a file's content. */
export interface TocChunk {
  /** Bytes of content. */
  readonly size: number
  /** Absent for a piece that is all zeros and is not in the blob. */
  readonly stored?: {
    /** `sha256:<64 hex>` of the content. */
    readonly digest: string
    /** The bytes of the blob that are decompressed for it: from `start` up to and without `end`. */
    readonly start: number
    readonly end: number
    /** Where the content begins in what they decompress to. */
    readonly skip: number
  }
}

const KINDS: Readonly<Record<string, EntryKind>> = {
  reg: 'file',
  dir: 'directory',
  symlink: 'symlink',
  hardlink: 'hardlink',
  char: 'character',
  block: 'block',
  fifo: 'fifo',
}

/**
 * Reads the JSON of a table of contents, which eStargz and zstd:chunked have in common: estargz.md, "TOC and TOCEntries";
 * containers/storage, the type FileMetadata. It proves nothing: its digest is verified by whoever has it. Every piece of
 * content has a digest, or the table is refused; so is one that has lost bytes of a name, because JSON has only text.
 *
 * @param options.dataEnd where the content ends in the blob, and perhaps the table begins
 * @throws StrataError STRATA_TOC_INVALID
 */
export function parseToc(json: Uint8Array, { dataEnd }: { readonly dataEnd: number }): readonly TocEntry[] {
  const { version, entries } = readJson(json)
  if (version !== 1) throw tocError(`it has version ${String(version)}, not 1`)
  if (!Array.isArray(entries)) throw tocError('it has no entries')
  const drafts: Draft[] = []
  for (const raw of entries as readonly unknown[]) {
    if (!isObject(raw)) throw tocError('an entry is not an object')
    const fields = new EntryFields(raw)
    const last = drafts.at(-1)
    if (fields.text('type') === 'chunk') {
      if (last?.kind !== 'file' || last.name !== fields.name()) throw fields.error('is a chunk of no file before it')
      last.chunks.push(chunkOf(fields))
    } else drafts.push(draftOf(fields))
  }
  const ends = new ChunkEnds(drafts, dataEnd)
  return drafts.map(({ chunks, wholeDigest, fields, ...entry }) => ({
    ...entry,
    chunks: entry.size === 0 ? [] : finishChunks(chunks, { size: entry.size, wholeDigest, fields, ends }),
  }))
}

type JsonObject = Readonly<Record<string, unknown>>

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function readJson(json: Uint8Array): { readonly version?: unknown; readonly entries?: unknown } {
  if (json.length > TOC_BYTES) throw tocError(`it has more than ${TOC_BYTES} bytes`)
  let objects = 0
  for (const byte of json) if (byte === 0x7b || byte === 0x5b) objects += 1
  if (objects > TOC_OBJECTS) throw tocError(`it has more than ${TOC_OBJECTS} objects`)
  try {
    const table: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(json))
    if (isObject(table)) return table
  } catch (cause) {
    throw tocError('it is not JSON', cause)
  }
  throw tocError('it is not an object')
}

/** A chunk as the table has it. */
interface RawChunk {
  readonly offset: number
  /** Where the last chunk of a file ends in the blob; 0 where the table does not say. */
  readonly endOffset: number
  readonly skip: number
  readonly contentOffset: number
  /** 0 for all that is left of the file. */
  readonly size: number
  readonly digest: string
  readonly isZeros: boolean
}

type Draft = Omit<TocEntry, 'chunks'> & { readonly chunks: RawChunk[]; readonly wholeDigest: string; readonly fields: EntryFields }

function draftOf(fields: EntryFields): Draft {
  const type = fields.text('type')
  const kind = Object.hasOwn(KINDS, type) ? KINDS[type] : undefined
  if (kind === undefined) throw fields.error(`has the type ${JSON.stringify(type.slice(0, 20))}`)
  const isDevice = kind === 'character' || kind === 'block'
  const linkName = kind === 'symlink' || kind === 'hardlink' ? fields.pathText('linkName') : ''
  return {
    kind,
    name: fields.name(),
    linkName,
    mode: fields.count('mode') % 0o10000,
    uid: fields.count('uid'),
    gid: fields.count('gid'),
    modifiedAt: fields.time('modtime'),
    xattrs: fields.xattrs(),
    ...(isDevice ? { device: { major: fields.count('devMajor'), minor: fields.count('devMinor') } } : {}),
    size: kind === 'file' ? fields.count('size', FILE_BYTES) : 0,
    chunks: kind === 'file' ? [chunkOf(fields)] : [],
    wholeDigest: fields.text('digest'),
    fields,
  }
}

function chunkOf(fields: EntryFields): RawChunk {
  const type = fields.text('chunkType')
  if (type !== '' && type !== 'zeros') throw fields.error('has a chunk of an unknown type')
  return {
    offset: fields.count('offset'),
    endOffset: fields.count('endOffset'),
    skip: fields.count('innerOffset', CHUNK_CONTENT_BYTES),
    contentOffset: fields.count('chunkOffset'),
    size: fields.count('chunkSize', FILE_BYTES),
    digest: fields.text('chunkDigest'),
    isZeros: type === 'zeros',
  }
}

interface ChunkContext {
  readonly size: number
  readonly wholeDigest: string
  readonly fields: EntryFields
  readonly ends: ChunkEnds
}

/** The chunks of a file, which follow one another without a gap from its begin to its end. */
function finishChunks(raw: readonly RawChunk[], { size, wholeDigest, fields, ends }: ChunkContext): readonly TocChunk[] {
  let contentEnd = 0
  const chunks = raw.map((chunk, at): TocChunk => {
    const isLast = at === raw.length - 1
    const chunkSize = chunk.size === 0 && isLast ? size - chunk.contentOffset : chunk.size
    if (chunk.contentOffset !== contentEnd || chunkSize <= 0) throw fields.error('has chunks that do not follow one another')
    contentEnd += chunkSize
    if (chunk.isZeros) return { size: chunkSize }
    const digest = chunk.digest === '' && raw.length === 1 ? wholeDigest : chunk.digest
    if (!/^sha256:[0-9a-f]{64}$/.test(digest)) throw fields.error('has content without a SHA-256 digest')
    const end = isLast && chunk.endOffset > 0 ? chunk.endOffset : ends.after(chunk.offset)
    if (!(chunk.offset < end && end <= ends.dataEnd)) throw fields.error('has content where the blob has none')
    if (chunkSize > CHUNK_CONTENT_BYTES || end - chunk.offset > CHUNK_BLOB_BYTES)
      throw fields.error(`has a chunk of more than ${CHUNK_CONTENT_BYTES} bytes`)
    return { size: chunkSize, stored: { digest, start: chunk.offset, end, skip: chunk.skip } }
  })
  if (contentEnd !== size) throw fields.error('has chunks that are not as long as the file')
  return chunks
}

/** A chunk ends where the next one of any file begins, at the latest. */
class ChunkEnds {
  readonly dataEnd: number
  readonly #starts: Float64Array

  constructor(drafts: readonly Draft[], dataEnd: number) {
    this.dataEnd = dataEnd
    const starts = drafts.flatMap(({ size, chunks }) =>
      size === 0 ? [] : chunks.filter(({ isZeros }) => !isZeros).map(({ offset }) => offset),
    )
    this.#starts = Float64Array.from(starts).sort()
  }

  after(start: number): number {
    let low = 0
    let high = this.#starts.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#starts[middle]! <= start) low = middle + 1
      else high = middle
    }
    return this.#starts[low] ?? this.dataEnd
  }
}

/** One entry of the table. Go leaves out what is empty, so an absent field is '', 0 or the begin of 1970. */
class EntryFields {
  readonly #raw: JsonObject

  constructor(raw: JsonObject) {
    this.#raw = raw
  }

  error(state: string): Error {
    const name = this.#get('name')
    return tocError(`entry ${JSON.stringify(typeof name === 'string' ? name.slice(0, 200) : '')} ${state}`)
  }

  text(key: string): string {
    const value = this.#get(key) ?? ''
    if (typeof value !== 'string') throw this.error(`has a ${key} that is not a text`)
    return value
  }

  name(): string {
    const name = this.pathText('name')
    if (name === '') throw this.error('has no name')
    return name
  }

  /** A file name. Go puts U+FFFD in place of what is not UTF-8: then nobody knows what it was. */
  pathText(key: string): string {
    const path = this.text(key)
    if (path.includes('\ufffd')) throw this.error(`has a ${key} that has lost bytes`)
    return path
  }

  /** An integer from 0 to `most`. */
  count(key: string, most: number = Number.MAX_SAFE_INTEGER): number {
    const value = this.#get(key) ?? 0
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0 || value > most)
      throw this.error(`has a ${key} that is no number from 0 to ${most}`)
    return value
  }

  /** RFC 3339 §5.6 */
  time(key: string): TocEntry['modifiedAt'] {
    const text = this.text(key)
    // Go's zero time stands for one that is not known.
    if (text === '' || text === '0001-01-01T00:00:00Z') return { seconds: 0, nanoseconds: 0 }
    const [, day, fraction = '', zone] = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/.exec(text) ?? []
    const milliseconds = Date.parse(`${day}${zone}`)
    if (day === undefined || Number.isNaN(milliseconds)) throw this.error(`has a ${key} that is no time`)
    return { seconds: milliseconds / 1000, nanoseconds: Number(fraction.padEnd(9, '0')) }
  }

  /** Values in base64. */
  xattrs(): ReadonlyMap<string, Uint8Array> {
    const raw = this.#get('xattrs') ?? {}
    if (!isObject(raw)) throw this.error('has xattrs that are not an object')
    const xattrs = new Map<string, Uint8Array>()
    for (const [key, value] of Object.entries(raw)) {
      if (typeof value !== 'string' || !/^[A-Za-z0-9+/]*={0,2}$/.test(value)) throw this.error('has an xattr that is not base64')
      xattrs.set(key, Buffer.from(value, 'base64'))
    }
    return xattrs
  }

  #get(key: string): unknown {
    return Object.hasOwn(this.#raw, key) ? this.#raw[key] : undefined
  }
}
