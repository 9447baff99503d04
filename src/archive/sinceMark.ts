import { StrataError } from '../base/index.ts'
import { type Annotations, type Digest, isDigest, parseDigest } from '../oci/index.ts'

/*
 * An archive that leaves out what another image has says so in the annotations of its index.json. Other engines find that blobs
 * are missing; this one takes them from the store. The names are Strata's own.
 */
const BASE_DIGEST = 'strata.since.digest'
const BASE_NAME = 'strata.since.name'
const ABSENT = 'strata.since.absent'

/** What an archive leaves out, because who gets it has it already. */
export class SinceMark {
  /** The manifest (or index) of the image that the reader must have. */
  readonly digest: Digest
  /** What the writer called that image. */
  readonly name: string | undefined
  /** The blobs that are not in the archive. */
  readonly absent: ReadonlySet<Digest>

  constructor(mark: { readonly digest: Digest; readonly name: string | undefined; readonly absent: ReadonlySet<Digest> }) {
    this.digest = mark.digest
    this.name = mark.name
    this.absent = mark.absent
  }

  /** Reads it from the annotations of an index.json; undefined where nothing was left out. */
  static read(annotations: Annotations | undefined): SinceMark | undefined {
    const { [BASE_DIGEST]: digest, [BASE_NAME]: name, [ABSENT]: absent } = annotations ?? {}
    if (digest === undefined) return undefined
    return new SinceMark({ digest: parseDigest(digest), name, absent: new Set((absent ?? '').split(' ').filter(isDigest)) })
  }

  /** As it stands in an index.json. */
  annotations(): Annotations {
    return {
      [BASE_DIGEST]: this.digest,
      ...(this.name === undefined ? {} : { [BASE_NAME]: this.name }),
      [ABSENT]: [...this.absent].toSorted().join(' '),
    }
  }

  /** The base is not here, or not in the form that the archive needs. @param archive what messages call it */
  missing(archive: string): StrataError {
    return new StrataError(
      'notFound',
      'STRATA_BASE_MISSING',
      `Cannot read ${archive}: it holds only what was new since ${this.#base()}, which is not here`,
      { hint: `Get ${this.name === undefined ? 'that image' : `"${this.name}"`} first, or ask for an archive of the whole image.` },
    )
  }
  /** Something else than a store is to have what is in the archive. @param archive what messages call it */
  notWhole(archive: string): StrataError {
    return new StrataError(
      'unsupported',
      'STRATA_ARCHIVE_NEEDS_BASE',
      `Cannot copy ${archive}: it holds only what was new since ${this.#base()}, and only a store can put the two together`,
      { hint: 'Load it with `strata load` (or copy it to strata:NAME), and copy the image from the store.' },
    )
  }

  #base(): string {
    return this.name === undefined ? this.digest : `"${this.name}" (${this.digest})`
  }
}
