import { type ByteStream, type CallOptions, isStrataError } from '../base/index.ts'
import type { BlobSource } from '../content/index.ts'
import { type Descriptor, isForeignLayer } from '../oci/index.ts'
import { type GraphRoot, type GraphSink, reportSkipped } from '../transfer/index.ts'

/** Files that a graph goes into, and then its root: only from then on is anything of it to be seen. Disposing before leaves nothing in its place. */
export interface ImageSink extends GraphSink, AsyncDisposable {
  finish(root: GraphRoot, options: CallOptions): Promise<void>
}

/**
 * Opens a blob that goes into files; undefined for a layer that may not be handed on and that the source has not: manifests name
 * such ones by where their maker gives them out. image-spec layer.md#non-distributable-layers
 */
export async function openIfHad(source: BlobSource, target: Descriptor, options: CallOptions): Promise<ByteStream | undefined> {
  try {
    return await source.open(target, options)
  } catch (error) {
    if (!isForeignLayer(target.mediaType) || !isAbsence(error)) throw error
    reportSkipped(target, options)
    return undefined
  }
}

const isAbsence = (error: unknown): boolean =>
  isStrataError(error, 'notFound') || (isStrataError(error) && error.code === 'STRATA_ARCHIVE_INCOMPLETE')
