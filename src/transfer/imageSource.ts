import type { ByteStream } from '../base/index.ts'
import type { BlobSource, OpenOptions } from '../content/index.ts'
import type { FileRange } from '../layer/index.ts'
import type { Descriptor } from '../oci/index.ts'

/** Where an image comes from: a repository, an archive, another part of the store. */
export interface ImageSource extends BlobSource {
  /** `host/path` of a repository, which is remembered as having the blobs. */
  readonly name?: string
  /** As `open`, for who verifies the bytes anyway. */
  openUnverified?(target: Descriptor, options: OpenOptions): Promise<ByteStream>
  /** Where a layer lies on this machine, as it is or compressed, for workers that read it by themselves. */
  rangeOf?(layer: Descriptor): Required<FileRange> | undefined
}
