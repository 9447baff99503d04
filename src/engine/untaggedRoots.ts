import type { ImageRecord, KeptRoot } from '../image/index.ts'
import { type Digest, parseReference } from '../oci/index.ts'
import type { Stores } from './stores.ts'

/** Digests with what they name, what is said about them, and so on. */
export function reachedFrom({ content, images }: Stores, digests: Iterable<Digest>): ReadonlySet<Digest> {
  const reached = new Set(digests)
  // A set gives out also what is added while it is walked.
  for (const digest of reached) {
    for (const child of content.children(digest)) reached.add(child)
    for (const { descriptor } of images.referrersOf(digest)) reached.add(descriptor.digest)
  }
  return reached
}

/**
 * What is kept by its digest alone: no tag and no image leads to it. A push that never came to its tag leaves such, and so
 * do indexes whose tags were removed.
 */
export function untaggedRoots(stores: Stores): readonly KeptRoot[] {
  const { images } = stores
  const byDigest = images.keptRoots().filter(({ name }) => name.includes('@') && images.named(parseReference(name)) === undefined)
  if (byDigest.length === 0) return []
  const reached = reachedFrom(stores, [...images.roots().map(({ root }) => root.digest), ...images.list().flatMap(digestsOf)])
  return byDigest.filter(({ root }) => !reached.has(root.digest))
}

/** That of an image, and those under which it was given out; a part of an index is kept by that. */
function digestsOf({ manifest, names, repositoryDigests }: ImageRecord): readonly Digest[] {
  if (names.length + repositoryDigests.length === 0) return []
  return [manifest.digest, ...repositoryDigests.flatMap(each => parseReference(each).digest ?? [])]
}
