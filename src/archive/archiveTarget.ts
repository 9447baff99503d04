import { type CallOptions, deliverFile, type Durability, StrataError, wouldReplace } from '../base/index.ts'
import type { BlobSource } from '../content/index.ts'
import type { Descriptor, Platform } from '../oci/index.ts'
import type { GraphRoot } from '../transfer/index.ts'
import type { ImageSink } from './imageSink.ts'
import { ArchiveContents, type ArchiveNames } from './archiveContents.ts'

export interface ArchiveTargetOptions {
  readonly format: 'docker-archive' | 'oci-archive'
  readonly names: ArchiveNames
  /** Which image of an index docker's own files name. */
  readonly platform: Platform
  readonly durability: Durability
}

/** An archive that one graph is written to; it appears when it is whole, and replaces nothing. */
export class ArchiveTarget implements ImageSink {
  readonly readsLater = true
  readonly #path: string
  readonly #options: ArchiveTargetOptions
  readonly #contents: ArchiveContents

  private constructor(path: string, scratch: string, options: ArchiveTargetOptions) {
    this.#path = path
    this.#options = options
    this.#contents = new ArchiveContents({ compression: 'none', scratch })
  }

  /**
   * Rejects with `conflict` (STRATA_FILE_EXISTS) for a file that holds something, archive or not.
   *
   * @param scratch an existing directory
   */
  static async create(path: string, scratch: string, options: ArchiveTargetOptions): Promise<ArchiveTarget> {
    if (await wouldReplace(path)) throw fileExists(path)
    return new ArchiveTarget(path, scratch, options)
  }

  take(target: Descriptor, source: BlobSource, options: CallOptions): Promise<Descriptor> {
    return this.#contents.take(target, source, options)
  }

  async finish(root: GraphRoot): Promise<void> {
    const { format, names, platform, durability } = this.#options
    this.#contents.add(root, names)
    await deliverFile(this.#path, async () => this.#contents.bytes(format, platform), durability)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#contents[Symbol.asyncDispose]()
  }
}

function fileExists(path: string): StrataError {
  return new StrataError('conflict', 'STRATA_FILE_EXISTS', `Cannot write archive "${path}": the file exists, and is not empty`, {
    hint: 'Remove it first, or name a new file.',
  })
}
