import type { ImageRecord } from '../image/index.ts'
import { type Descriptor, type Digest, familiarName, formatPlatform, isIndex, type Reference, subjectOfAttestation } from '../oci/index.ts'
import { platformsOf } from './hostPlatform.ts'
import { imageFor } from './imagePlatform.ts'
import type { Stores } from './stores.ts'

/** What a name stands for, as far as it is here and wanted. */
export interface RootHere {
  readonly root: Descriptor
  /** The image that the name means, where it means one. */
  readonly image: ImageRecord | undefined
  /** Which entries of an index go along. */
  readonly isSelected: (entry: Descriptor) => boolean
  /** Whether an index has more than is here. */
  readonly isPartial: boolean
}

export interface RootHereOptions {
  /** What people typed, for a name that is an id. */
  readonly text: string
  /** Only these platforms, `os[/architecture[/variant]]`; all that are here when there are none. */
  readonly platforms: readonly string[]
}

/** What goes on under a name: its image, its artifact, or its index with the images that are wanted and are here. */
export async function rootHere(
  stores: Stores,
  reference: Reference | undefined,
  { text, platforms: asked }: RootHereOptions,
): Promise<RootHere> {
  const platforms = platformsOf(asked).map(formatPlatform)
  const root = reference === undefined ? undefined : stores.images.rootOf(reference)
  const whole = { isSelected: () => true, isPartial: false }
  const [platform, ...others] = platforms
  if (reference === undefined || root === undefined || !isIndex(root.mediaType) || (platform !== undefined && others.length === 0)) {
    const isArtifact = reference !== undefined && root !== undefined && stores.images.named(reference) === undefined
    if (isArtifact) return { root, image: undefined, ...whole }
    const image = await imageFor(stores, root === undefined || reference === undefined ? text : familiarName(reference), platform)
    return { root: image.manifest, image, ...whole }
  }
  const images = await Promise.all(platforms.map(each => imageFor(stores, familiarName(reference), each)))
  const wanted = new Set(images.map(({ manifest }) => manifest.digest))
  const here = await documentsHere(stores, root)
  const isWanted = (entry: Descriptor): boolean =>
    wanted.size === 0 || isIndex(entry.mediaType) || wanted.has(entry.digest) || wanted.has(subjectOfAttestation(entry) ?? entry.digest)
  return {
    root,
    image: stores.images.named(reference),
    isSelected: entry => here.digests.has(entry.digest) && isWanted(entry),
    isPartial: here.missing > 0,
  }
}

/** The manifests and indexes below an index, as far as they are in the store. */
async function documentsHere(
  stores: Stores,
  root: Descriptor,
): Promise<{ readonly digests: ReadonlySet<Digest>; readonly missing: number }> {
  const digests = new Set<Digest>([root.digest])
  let missing = 0
  for (const digest of digests) {
    const { mediaType } = (await stores.content.stat(digest))!
    if (!isIndex(mediaType)) continue
    for (const child of stores.content.children(digest)) {
      if ((await stores.content.stat(child)) === undefined) missing += 1
      else digests.add(child)
    }
  }
  return { digests, missing }
}
