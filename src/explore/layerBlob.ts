import type { ByteStream } from '../base/index.ts'
import type { BlobSource, ContentStore } from '../content/index.ts'
import type { Descriptor } from '../oci/index.ts'

/** A place that gives out parts of blobs, such as a repository of a registry. */
export interface BlobRanges extends BlobSource {
  /** From `start` up to and without `end`, not verified. */
  openUnverified(
    target: Descriptor,
    options: { readonly start: number; readonly end: number; readonly signal?: AbortSignal },
  ): Promise<ByteStream>
}

/** The bytes of a layer as registries have them. */
export interface LayerBlob {
  readonly descriptor: Descriptor
  /** All of it, verified to the last byte. */
  whole(): Promise<ByteStream>
}

export interface RemoteBlob extends LayerBlob {
  /** From `start` up to and without `end`, not verified. */
  part(start: number, end: number): Promise<ByteStream>
}

export function storedBlob(content: ContentStore, descriptor: Descriptor, signal: AbortSignal | undefined): LayerBlob {
  return { descriptor, whole: () => content.open(descriptor, signalOf(signal)) }
}

export function remoteBlob(repository: BlobRanges, descriptor: Descriptor, signal: AbortSignal | undefined): RemoteBlob {
  return {
    descriptor,
    whole: () => repository.open(descriptor, signalOf(signal)),
    part: (start, end) => repository.openUnverified(descriptor, { start, end, ...signalOf(signal) }),
  }
}

const signalOf = (signal: AbortSignal | undefined): { readonly signal?: AbortSignal } => (signal === undefined ? {} : { signal })
