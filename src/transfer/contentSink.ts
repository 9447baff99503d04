import { type CallOptions, readAtMost, streamOf } from '../base/index.ts'
import type { BlobSource, DiskContentStore } from '../content/index.ts'
import type { Lease } from '../metadata/index.ts'
import { type Descriptor, digestHex, isIndex, isManifest, LIMITS } from '../oci/index.ts'
import type { GraphSink } from './copyGraph.ts'

/**
 * The content store as the place where a graph goes: blobs as they are, nothing unpacked. For what is no image of a
 * platform that is wanted here: artifacts, signatures, attestations. What was interrupted goes on where it stopped.
 */
export class ContentSink implements GraphSink {
  readonly #content: DiskContentStore
  readonly #lease: Lease

  /** @param lease holds what arrives */
  constructor(content: DiskContentStore, lease: Lease) {
    this.#content = content
    this.#lease = lease
  }

  async take(target: Descriptor, source: BlobSource, options: CallOptions): Promise<Descriptor> {
    const { signal, onProgress } = options
    const call = signal === undefined ? {} : { signal }
    const lease = this.#lease
    if (isManifest(target.mediaType) || isIndex(target.mediaType)) {
      const bytes = await readAtMost(await source.open(target, call), LIMITS.manifestBytes)
      await this.#content.put(target, streamOf(bytes), { ...call, lease })
      return target
    }
    await using ingest = await this.#content.ingest(target.digest, { target, ...call })
    const id = digestHex(target.digest).slice(0, 12)
    if (ingest.stored === undefined) {
      await ingest.write(await source.open(target, { ...call, start: ingest.size }))
      onProgress?.({ id, status: 'Download complete' })
    }
    await ingest.commit(target, { ...call, lease })
    return target
  }
}
