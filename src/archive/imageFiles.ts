import { type ByteStream, fileStream, readAtMost, StrataError } from '../base/index.ts'

/** Where the bytes of a file of an archive lie on disk: in `path`, from `start` up to and without `end`. */
export interface Extent {
  readonly path: string
  readonly start: number
  readonly end: number
}

/** What an archive may cost in memory by documents that are read whole. */
const MAX_DOCUMENT_BYTES = 128 * 1024 * 1024

/** The files that images are kept in, looked up by name: the members of a tar, or the files below a directory. */
export abstract class ImageFiles {
  /** What messages call it: `archive "x.tar"`. */
  readonly name: string
  #documentBytes = 0

  constructor(name: string) {
    this.name = name
  }

  abstract has(name: string): boolean

  /** Where a file is; undefined when there is no such file. */
  protected abstract find(name: string): Extent | undefined

  /** Where a file is; throws `dataLoss` (STRATA_ARCHIVE_INCOMPLETE) when it is not there. */
  extent(name: string): Extent {
    const extent = this.find(name)
    if (extent !== undefined) return extent
    throw new StrataError('dataLoss', 'STRATA_ARCHIVE_INCOMPLETE', `Cannot read ${this.name}: it names "${name}", which it does not have`)
  }

  open(name: string): ByteStream {
    const { path, start, end } = this.extent(name)
    return fileStream(path, { start, end })
  }

  /** A small file, whole; all of them together are bounded too. @param limit the most bytes that are accepted */
  async read(name: string, limit: number): Promise<Buffer> {
    const { start, end } = this.extent(name)
    this.#documentBytes += end - start
    if (this.#documentBytes > MAX_DOCUMENT_BYTES) throw tooMuch(this.name, `its documents have more than ${MAX_DOCUMENT_BYTES} bytes`)
    return readAtMost(this.open(name), limit, `"${name}" of ${this.name}`)
  }
}

/** Files of an archive that would cost more than any image needs. */
export function tooMuch(name: string, state: string): StrataError {
  return new StrataError('resourceExhausted', 'STRATA_TOO_LARGE', `Cannot read ${name}: ${state}`)
}

/** Files that contradict themselves or their format. */
export function invalid(name: string, state: string, cause?: unknown): StrataError {
  return new StrataError('invalidArgument', 'STRATA_ARCHIVE_INVALID', `Cannot read ${name}: ${state}`, { cause })
}
