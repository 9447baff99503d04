import { decodeFileName, encodeFileName, StrataError } from '../base/index.ts'
import { BLOCK_BYTES, GNU_REAL_SIZE, HeaderBlock, malformed, overLimit, SIZE, TYPE_OFFSET } from './block.ts'
import type { TarLimits, TarSink } from './entry.ts'
import { type Draft, type Extension, MemberHeader } from './member.ts'
import { parseDecimal, parsePax } from './pax.ts'
import { paxSparseVersion, SparseMap, SparseMapText } from './sparse.ts'

const DEFAULT_LIMITS = {
  entries: 5_000_000,
  headerBytes: 1024 * 1024,
  nameBytes: 64 * 1024,
  sparseRegions: 128 * 1024,
  fileBytes: 16 * 1024 ** 4,
} as const satisfies Required<TarLimits>

const NO_EXTENSION: Extension = {}

/** What the next bytes of the archive are. */
type State =
  | 'header'
  | 'attributes' // payload of a PAX header or a GNU long name
  | 'attributesPadding'
  | 'sparseExtension' // map blocks after a type-S header
  | 'sparseText' // map in front of the payload of a PAX 1.0 sparse file
  | 'payload'
  | 'padding'
  | 'trailer' // whatever follows the end marker

/**
 * Parses tar archives of any dialect: v7, ustar, star, GNU and PAX, mixed as they come. It is
 * synchronous and remembers at most one header, so memory does not grow with the archive; payload is
 * passed on without a copy. What it accepts is written in docs/tar-acceptance.md.
 *
 * Errors are thrown by `write` and `end`: `invalidArgument` (STRATA_TAR_MALFORMED), `unsupported`
 * (STRATA_TAR_TYPE), `dataLoss` (STRATA_TAR_TRUNCATED), `resourceExhausted` (STRATA_TAR_LIMIT). The
 * parser is of no use afterwards.
 */
export class TarParser {
  readonly #sink: TarSink
  readonly #limits: Required<TarLimits>
  readonly #block = new HeaderBlock()
  readonly #header = new MemberHeader(this.#block)

  #state: State = 'header'
  /** Bytes of the archive before the current chunk. */
  #chunkOffset = 0
  /** Bytes of a straddling header block that are in #block already. */
  #filled = 0
  /** Bytes that are left in the current state, where the state has a length. */
  #left = 0
  #zeroBlocks = 0
  #entries = 0

  /** Where the member under construction starts; -1 between members. */
  #memberOffset = -1
  #attributesType = ''
  #attributesBytes: Buffer | undefined
  #attributesFilled = 0
  #attributesPaddingLeft = 0
  #extension: Extension = NO_EXTENSION

  /** The member whose sparse map is being read, with its payload bytes. */
  #draft: Draft | undefined
  #sparse: SparseMap | undefined
  #sparseText: SparseMapText | undefined

  constructor(sink: TarSink, limits: TarLimits = {}) {
    this.#sink = sink
    this.#limits = { ...DEFAULT_LIMITS, ...limits }
  }

  /** Parses the next bytes of the archive; all calls to the sink that they give rise to are made before it returns. */
  write(chunk: Uint8Array): void {
    const input = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    const end = input.length
    let at = 0
    // Where the bytes start that the sink has not seen: raw pieces are joined as far as a chunk allows.
    let rawStart = 0
    while (at < end) {
      switch (this.#state) {
        case 'header':
        case 'sparseExtension':
        case 'sparseText': {
          const wanted = BLOCK_BYTES - this.#filled
          const got = Math.min(wanted, end - at)
          input.copy(this.#block.bytes, this.#filled, at, at + got)
          at += got
          if (got < wanted) {
            this.#filled += got
            break
          }
          this.#filled = 0
          const entry = this.#takeBlock(this.#chunkOffset + at)
          if (entry === undefined) break
          if (this.#sink.raw !== undefined) this.#sink.raw(input.subarray(rawStart, at))
          rawStart = at
          this.#begin(entry)
          break
        }
        case 'attributes': {
          const got = Math.min(this.#left, end - at)
          if (this.#attributesBytes === undefined && got === this.#left) {
            this.#takeAttributes(input.subarray(at, at + got))
          } else {
            this.#attributesBytes ??= Buffer.alloc(this.#left)
            input.copy(this.#attributesBytes, this.#attributesFilled, at, at + got)
            this.#attributesFilled += got
            if (got === this.#left) this.#takeAttributes(this.#attributesBytes)
          }
          at += got
          this.#left -= got
          if (this.#left === 0) this.#enter('attributesPadding', this.#attributesPaddingLeft)
          break
        }
        case 'payload': {
          const got = Math.min(this.#left, end - at)
          this.#sink.data(got === end ? input : input.subarray(at, at + got))
          at += got
          rawStart = at
          this.#left -= got
          if (this.#left === 0) this.#finishEntry()
          break
        }
        case 'attributesPadding':
        case 'padding': {
          const got = Math.min(this.#left, end - at)
          at += got
          this.#left -= got
          if (this.#left === 0) this.#state = 'header'
          break
        }
        case 'trailer':
          at = end
          break
        default:
          this.#state satisfies never
      }
    }
    if (rawStart < end && this.#sink.raw !== undefined) this.#sink.raw(input.subarray(rawStart, end))
    this.#chunkOffset += end
  }

  /**
   * Says that the archive has no more bytes. An archive may end without an end marker and without the
   * last padding, as it may for Docker; inside a header or a payload it throws `dataLoss`.
   */
  end(): void {
    if (this.#filled === 0 && (this.#state === 'trailer' || this.#state === 'header' || this.#state.endsWith('adding'))) return
    throw new StrataError(
      'dataLoss',
      'STRATA_TAR_TRUNCATED',
      `Cannot read tar archive: it ends at byte ${this.#chunkOffset}, inside the ${this.#state === 'payload' ? 'content' : 'header'} of a member`,
    )
  }

  #enter(state: 'attributes' | 'attributesPadding' | 'payload' | 'padding', left: number): void {
    this.#left = left
    this.#state = left === 0 && state !== 'attributes' ? 'header' : state
  }

  /** Handles a whole block that ends at byte `end` of the archive; returns the entry when it completes one. */
  #takeBlock(end: number): Draft | undefined {
    switch (this.#state) {
      case 'sparseExtension':
        if (this.#sparse!.addFromExtension(this.#block)) return undefined
        return this.#completeSparse(end)
      case 'sparseText':
        this.#left -= BLOCK_BYTES
        if (this.#sparseText!.take(this.#block)) return this.#completeSparse(end)
        if (this.#left < BLOCK_BYTES) throw this.#malformed('has a sparse map that goes past its payload')
        return undefined
      default:
        return this.#takeHeader(end)
    }
  }

  #takeHeader(end: number): Draft | undefined {
    const block = this.#block
    const start = end - BLOCK_BYTES
    const sum = block.sum()
    if (sum === 0) {
      this.#zeroBlocks += 1
      if (this.#zeroBlocks === 2) this.#state = 'trailer'
      return undefined
    }
    if (this.#memberOffset === -1) this.#memberOffset = start
    if (this.#zeroBlocks > 0) throw malformed(start, 'follows a block of zeros')
    if (!block.checksumMatches(sum)) throw malformed(start, 'has a wrong checksum')
    const type = String.fromCharCode(block.bytes[TYPE_OFFSET]!)
    switch (type) {
      case 'x':
      case 'g':
      case 'L':
      case 'K':
        this.#beginAttributes(type)
        return undefined
      default:
        return this.#takeMember(type, end)
    }
  }

  #beginAttributes(type: string): void {
    const size = this.#block.number(SIZE) ?? -1
    if (size < 0) throw this.#malformed('has no size')
    if (size > this.#limits.headerBytes)
      throw overLimit(this.#memberOffset, `has a header of ${size} bytes: at most ${this.#limits.headerBytes} are read`)
    this.#attributesType = type
    this.#attributesBytes = undefined
    this.#attributesFilled = 0
    this.#attributesPaddingLeft = paddingOf(size)
    if (size > 0) this.#enter('attributes', size)
    else this.#takeAttributes(Buffer.alloc(0))
  }

  #takeAttributes(payload: Buffer): void {
    this.#attributesBytes = undefined
    switch (this.#attributesType) {
      case 'x':
        // Of several in a row the last one counts, as for Go.
        this.#extension = { ...this.#extension, pax: parsePax(payload, state => this.#malformed(state)) }
        return
      case 'g':
        // Checked but not applied: Docker and everything else that is built on Go ignores it, and an
        // image must have the same files here. It also ends a member that has only begun.
        parsePax(payload, state => this.#malformed(state))
        this.#forgetMember()
        return
      case 'L':
        this.#extension = { ...this.#extension, longName: upToNul(payload) }
        return
      default:
        this.#extension = { ...this.#extension, longLink: upToNul(payload) }
    }
  }

  #takeMember(typeFlag: string, end: number): Draft | undefined {
    const draft = this.#header.read(typeFlag, this.#extension, [this.#memberOffset, end])
    const sparseRecords = this.#extension.pax?.sparse
    const version = sparseRecords === undefined ? undefined : paxSparseVersion(sparseRecords)
    if (typeFlag !== 'S' && version === undefined) {
      this.#checkLimits(draft)
      return draft
    }
    if (draft.type !== 'file') throw this.#malformed('says that something else than a file is sparse')
    this.#draft = draft
    this.#sparse = new SparseMap(
      this.#limits.sparseRegions,
      state => this.#malformed(state),
      () => overLimit(draft.headerOffset, `has more than ${this.#limits.sparseRegions} sparse regions`),
    )
    if (typeFlag === 'S') {
      if (this.#block.dialect() !== 'gnu') throw this.#malformed('has a sparse map but is not of the GNU dialect')
      draft.size = this.#header.number(GNU_REAL_SIZE, 'real size')
      if (!this.#sparse.addFromHeader(this.#block)) return this.#completeSparse(end)
      this.#state = 'sparseExtension'
      return undefined
    }
    const { name, size, realSize } = sparseRecords!
    if (name !== undefined && name !== '') draft.path = name
    const logical = (size ?? '') === '' ? realSize : size
    if (logical !== undefined && logical !== '') draft.size = parseDecimal(logical) ?? -1
    if (version === '0.x') {
      this.#sparse.addFromRecords(sparseRecords!)
      return this.#completeSparse(end)
    }
    if (draft.storedSize < BLOCK_BYTES) throw this.#malformed('has a sparse map that goes past its payload')
    this.#sparseText = new SparseMapText(this.#sparse, state => this.#malformed(state))
    this.#left = draft.storedSize
    this.#state = 'sparseText'
    return undefined
  }

  /** The map is complete and the payload starts at byte `end` of the archive. */
  #completeSparse(end: number): Draft {
    const draft = this.#draft!
    if (this.#state === 'sparseText') draft.storedSize = this.#left
    draft.dataOffset = end
    this.#checkLimits(draft)
    draft.sparse = this.#sparse!.finish(draft.size, draft.storedSize)
    this.#draft = undefined
    this.#sparse = undefined
    this.#sparseText = undefined
    return draft
  }

  #checkLimits(draft: Draft): void {
    const { entries, fileBytes, nameBytes } = this.#limits
    this.#entries += 1
    if (this.#entries > entries) throw overLimit(draft.headerOffset, `is one more than the ${entries} that are read`)
    if (draft.size < 0) throw this.#malformed('has a negative size')
    if (Math.max(draft.size, draft.storedSize) > fileBytes) {
      throw overLimit(draft.headerOffset, `has ${draft.size} bytes: at most ${fileBytes} are read`)
    }
    // A UTF-16 unit is at most three bytes.
    const longest = Math.max(draft.path.length, draft.linkPath.length)
    if (longest * 3 > nameBytes && Math.max(encodeFileName(draft.path).length, encodeFileName(draft.linkPath).length) > nameBytes) {
      throw overLimit(draft.headerOffset, `has a name of more than ${nameBytes} bytes`)
    }
  }

  #begin(draft: Draft): void {
    this.#forgetMember()
    this.#left = draft.storedSize
    this.#sink.entry(draft)
    this.#draft = draft
    if (draft.storedSize > 0) this.#state = 'payload'
    else this.#finishEntry()
  }

  #finishEntry(): void {
    const { storedSize } = this.#draft!
    this.#draft = undefined
    if (this.#sink.endOfEntry !== undefined) this.#sink.endOfEntry()
    this.#enter('padding', paddingOf(storedSize))
  }

  #forgetMember(): void {
    this.#memberOffset = -1
    this.#extension = NO_EXTENSION
  }

  #malformed(state: string): StrataError {
    return malformed(this.#memberOffset, state)
  }
}

function paddingOf(size: number): number {
  return (BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES
}

/** The text of a GNU long name; an empty one overrides nothing. */
function upToNul(payload: Buffer): string | undefined {
  const nul = payload.indexOf(0)
  const text = decodeFileName(nul === -1 ? payload : payload.subarray(0, nul))
  return text === '' ? undefined : text
}
