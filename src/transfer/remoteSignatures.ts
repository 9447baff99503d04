import { type CallOptions, isStrataError } from '../base/index.ts'
import { type Digest, digestAlgorithm, digestHex, isManifest } from '../oci/index.ts'
import type { RemoteManifest, Repository } from '../registry/index.ts'
import { maySign } from '../signature/index.ts'

/**
 * The manifests in a repository that may hold signatures of manifests or indexes: for each the one below the tag that cosign
 * gives it, then those that refer to it. cosign SIGNATURE_SPEC.md "Tag-based Discovery", BUNDLE_SPEC.md "Retrieval"
 *
 * Rejects as the Repository does.
 */
export async function* remoteSignatures(
  repository: Repository,
  digests: readonly Digest[],
  options: CallOptions,
): AsyncGenerator<RemoteManifest> {
  for (const digest of digests) yield* signaturesOf(repository, digest, options)
}

async function* signaturesOf(repository: Repository, digest: Digest, options: CallOptions): AsyncGenerator<RemoteManifest> {
  // Of a longer digest no tag can be made.
  if (digestAlgorithm(digest) === 'sha256') yield* ifThere(repository, `sha256-${digestHex(digest)}.sig`, options)
  for (const referrer of await repository.referrers(digest, options))
    if (isManifest(referrer.mediaType) && maySign(referrer)) yield* ifThere(repository, referrer.digest, options)
}

async function* ifThere(repository: Repository, tagOrDigest: string, options: CallOptions): AsyncGenerator<RemoteManifest> {
  try {
    yield await repository.manifest(tagOrDigest, options)
  } catch (error) {
    if (!isStrataError(error, 'notFound')) throw error
  }
}
