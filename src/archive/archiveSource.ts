import { type ByteStream, fileStream, interruptible, isStrataError, StrataError, streamOf } from '../base/index.ts'
import { decompress } from '../compression/index.ts'
import { type OpenOptions, skipBytes, verified } from '../content/index.ts'
import { type Descriptor, type Digest, isForeignLayer, isIndex, isManifest, LIMITS, publisherHint, type Reference } from '../oci/index.ts'
import type { ImageSource } from '../transfer/index.ts'
import { type Extent, tooMuch } from './imageFiles.ts'
import type { SinceMark } from './sinceMark.ts'

/** Something that is kept in files under a name or without: an image, an index or an artifact. */
export interface ArchivedRoot {
  /** With the platform and the annotations that the layout gives it. */
  readonly descriptor: Descriptor
  /** Whole references. */
  readonly names: readonly Reference[]
  /** `org.opencontainers.image.ref.name` as it is written, which may be a tag alone. */
  readonly label?: string
  /** Which image it is, counted from 0: of docker's own list where an archive has one, else of index.json. */
  readonly position?: number
}

/** Where the bytes of a blob are. */
export type BlobPlace =
  | { readonly bytes: Buffer }
  /** `isPacked`: the blob is what the extent decompresses to. */
  | { readonly extent: Extent; readonly isPacked?: boolean }

/** Where the blobs of one archive or directory are; undefined for one that it lacks. */
export type LocateBlob = (digest: Digest) => BlobPlace | undefined

const MISMATCHES: ReadonlySet<string> = new Set(['STRATA_SIZE_MISMATCH', 'STRATA_DIGEST_MISMATCH'])

/**
 * What all walks over an archive may read of its documents, each of which counts as `graphDocumentBytes` at least. One root may
 * have LIMITS.graphBytes; a small archive of many roots, all of which name the same, would be read without end.
 */
const MAX_DOCUMENT_BYTES = 8 * LIMITS.graphBytes

/** What an archive or a directory holds: its roots, and every blob by its digest. Nothing is verified before it is read. */
export class ArchiveSource implements ImageSource, AsyncDisposable {
  /** What messages call it: `archive "x.tar"`. */
  readonly title: string
  /** As containers-transports(5) calls it; an archive with both forms is an `oci-archive`. */
  readonly form: 'docker-archive' | 'oci-archive' | 'oci' | 'dir'
  readonly roots: readonly ArchivedRoot[]
  /** What was left out on purpose, where it was. */
  readonly since: SinceMark | undefined
  readonly #locate: LocateBlob
  readonly #close: () => Promise<void>
  #documentBytes = 0

  constructor(content: {
    readonly title: string
    readonly form: ArchiveSource['form']
    readonly roots: readonly ArchivedRoot[]
    readonly since?: SinceMark | undefined
    readonly locate: LocateBlob
    readonly close: () => Promise<void>
  }) {
    this.title = content.title
    this.form = content.form
    this.roots = content.roots
    this.since = content.since
    this.#locate = content.locate
    this.#close = content.close
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#close()
  }

  has({ digest }: Descriptor): boolean {
    return this.#locate(digest) !== undefined
  }

  /** Where a blob lies on disk, as it is or compressed, for who reads it by itself and verifies it. */
  rangeOf({ digest }: Descriptor): Extent | undefined {
    const place = this.#locate(digest)
    return place !== undefined && 'extent' in place ? place.extent : undefined
  }

  /** Rejects with `dataLoss` (STRATA_ARCHIVE_INCOMPLETE) for a blob that is not there. */
  async open(target: Descriptor, { signal, start = 0 }: OpenOptions = {}): Promise<ByteStream> {
    const bytes = this.#open(target, start)
    return signal === undefined ? bytes : interruptible(bytes, signal)
  }

  #open(target: Descriptor, start: number): ByteStream {
    const place = this.#locate(target.digest)
    if (place === undefined) throw this.#absent(target)
    if (isManifest(target.mediaType) || isIndex(target.mediaType)) this.#countDocument(target)
    if (start > 0 && 'extent' in place && place.isPacked !== true) {
      const { path, start: first, end } = place.extent
      return fileStream(path, { start: first + start, end })
    }
    const bytes = this.#verified(place, target)
    return start === 0 ? bytes : skipBytes(bytes, start)
  }

  #countDocument({ size }: Descriptor): void {
    this.#documentBytes += Math.max(size, LIMITS.graphDocumentBytes)
    if (this.#documentBytes > MAX_DOCUMENT_BYTES) throw tooMuch(this.title, 'its images have too many manifests in common')
  }

  /** Opens the file when the first byte is asked for: nobody has to close what was never begun. */
  async *#verified(place: BlobPlace, target: Descriptor): AsyncGenerator<Uint8Array> {
    try {
      yield* verified(bytesAt(place), target)
    } catch (cause) {
      if (!isStrataError(cause) || !MISMATCHES.has(cause.code)) throw cause
      throw new StrataError('dataLoss', cause.code, `Cannot read ${this.title}: blob ${target.digest} is not what its digest says`, {
        cause,
      })
    }
  }

  #absent(target: Descriptor): StrataError {
    if (this.since?.absent.has(target.digest) === true) return this.since.missing(this.title)
    const { digest, mediaType } = target
    const foreign = isForeignLayer(mediaType)
    return new StrataError(
      'dataLoss',
      'STRATA_ARCHIVE_INCOMPLETE',
      foreign
        ? `Cannot read ${this.title}: layer ${digest} may not be handed on, and is not in it`
        : `Cannot read ${this.title}: it names blob ${digest}, which it does not have`,
      foreign ? { hint: publisherHint(target) } : {},
    )
  }
}

function bytesAt(place: BlobPlace): ByteStream {
  if ('bytes' in place) return streamOf(place.bytes)
  const stream = fileStream(place.extent.path, place.extent)
  return place.isPacked === true ? decompress(stream) : stream
}
