import { type Digest, isIndex, parseIndex } from '../oci/index.ts'
import type { GraphRoot, KeptReferrer } from '../transfer/index.ts'
import type { Stores } from './stores.ts'

/** What something may be said about: a manifest, or an index and what it names. */
export function manifestsOf({ descriptor, bytes }: GraphRoot): ReadonlySet<Digest> {
  const parts = isIndex(descriptor.mediaType) ? parseIndex(bytes).manifests.map(({ digest }) => digest) : []
  return new Set([descriptor.digest, ...parts])
}

/**
 * What is said here about what is sent, and about that. What became another manifest on its way has nothing said about it.
 *
 * @param repositories whose word counts: see `ImageStore.repositoriesAbout`
 */
export function referrersBelow(stores: Stores, root: GraphRoot, repositories: readonly string[]): readonly KeptReferrer[] {
  const subjects = new Set(manifestsOf(root))
  const found: KeptReferrer[] = []
  for (const subject of subjects) {
    for (const referrer of stores.images.referrersOf(subject, repositories)) {
      subjects.add(referrer.descriptor.digest)
      found.push({ subject, referrer })
    }
  }
  return found
}
