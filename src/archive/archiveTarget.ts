import { type CallOptions, deliverFile, type Durability } from '../base/index.ts'
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

/** An archive that one graph is written to; it appears when it is whole, in place of one that is there. */
export class ArchiveTarget implements ImageSink {
  readonly #path: string
  readonly #options: ArchiveTargetOptions
  readonly #contents: ArchiveContents

  /** @param scratch an existing directory */
  constructor(path: string, scratch: string, options: ArchiveTargetOptions) {
    this.#path = path
    this.#options = options
    this.#contents = new ArchiveContents({ compression: 'none', scratch })
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
