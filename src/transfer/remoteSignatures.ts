import { type CallOptions, isStrataError, StrataError, streamOf } from '../base/index.ts'
import type { DiskContentStore } from '../content/index.ts'
import type { Referrer } from '../image/index.ts'
import type { Lease } from '../metadata/index.ts'
import { type Descriptor, type Digest, isManifest, parseManifest } from '../oci/index.ts'
import type { RemoteManifest, Repository } from '../registry/index.ts'
import { maySign, type Signature, signatureTag } from '../signature/index.ts'
import { ContentSink } from './contentSink.ts'
import { copyGraph } from './copyGraph.ts'
import { readSignatures } from './readSignatures.ts'

/** Bytes of all that one manifest of signatures names: cosign adds 500 bytes with each. */
const MAX_KEPT_BYTES = 32 * 1024 * 1024

/**
 * The signatures of manifests or indexes in their repository: for each those below the tag that cosign gives it, then
 * those that refer to it. cosign SIGNATURE_SPEC.md "Tag-based Discovery", BUNDLE_SPEC.md "Retrieval"
 *
 * Iterating asks the repository as it goes, and rejects as it and readSignatures do.
 */
export class RemoteSignatures implements AsyncIterable<Signature> {
  readonly #repository: Repository
  readonly #digests: readonly Digest[]
  readonly #options: CallOptions
  /** Where what was found by its tag was. */
  readonly #tags = new Map<Digest, string>()

  constructor(repository: Repository, digests: readonly Digest[], options: CallOptions) {
    this.#repository = repository
    this.#digests = digests
    this.#options = options
  }

  [Symbol.asyncIterator](): AsyncGenerator<Signature> {
    return readSignatures(this.#repository, this.#manifests(), this.#options)
  }

  /**
   * Brings manifests of signatures that were found into the store, whole.
   *
   * Rejects with `resourceExhausted` (STRATA_SIGNATURES_TOO_LARGE) for one that names more than 32 MiB, and as the repository does.
   */
  async take(manifests: Iterable<Digest>, content: DiskContentStore, lease: Lease): Promise<readonly Referrer[]> {
    const referrers: Referrer[] = []
    for (const digest of manifests) referrers.push(await this.#takeOne(digest, content, lease))
    return referrers
  }

  async #takeOne(digest: Digest, content: DiskContentStore, lease: Lease): Promise<Referrer> {
    const { descriptor, bytes } = await this.#repository.manifest(digest, this.#options)
    const { config, layers, artifactType, annotations } = parseManifest(bytes, descriptor.mediaType)
    const total = [config, ...layers].reduce((sum, { size }) => sum + size, 0)
    if (total > MAX_KEPT_BYTES) {
      throw new StrataError(
        'resourceExhausted',
        'STRATA_SIGNATURES_TOO_LARGE',
        `Cannot keep the signatures ${digest} of "${this.#repository.name}": they have ${total} bytes, more than ${MAX_KEPT_BYTES}`,
      )
    }
    await copyGraph(this.#repository, new ContentSink(content, lease), descriptor, signalOf(this.#options))
    await content.put(descriptor, streamOf(bytes), { lease, ...signalOf(this.#options) })
    const described: Descriptor = {
      ...descriptor,
      ...(artifactType === undefined ? {} : { artifactType }),
      ...(annotations === undefined ? {} : { annotations }),
    }
    const tag = this.#tags.get(digest)
    return { descriptor: described, ...(tag === undefined ? {} : { tag }) }
  }

  async *#manifests(): AsyncGenerator<RemoteManifest | undefined> {
    for (const digest of this.#digests) {
      yield* this.#tagged(digest)
      for (const referrer of await this.#repository.referrers(digest, this.#options))
        if (isManifest(referrer.mediaType) && maySign(referrer)) yield await this.#find(referrer.digest)
    }
  }

  async *#tagged(digest: Digest): AsyncGenerator<RemoteManifest> {
    const tag = signatureTag(digest)
    const manifest = tag === undefined ? undefined : await this.#find(tag)
    if (tag === undefined || manifest === undefined) return
    this.#tags.set(manifest.descriptor.digest, tag)
    yield manifest
  }

  async #find(tagOrDigest: string): Promise<RemoteManifest | undefined> {
    try {
      return await this.#repository.manifest(tagOrDigest, this.#options)
    } catch (error) {
      if (isStrataError(error, 'notFound')) return undefined
      throw error
    }
  }
}

/** What is fetched for a signature is not told as parts of the image. */
const signalOf = ({ signal }: CallOptions): CallOptions => (signal === undefined ? {} : { signal })
