import { type CallOptions, StrataError } from '../base/index.ts'
import type { ImageRecord } from '../image/index.ts'
import {
  type Descriptor,
  type Digest,
  familiarName,
  isIndex,
  parseIndex,
  parseReference,
  type Reference,
  subjectOfAttestation,
  withDefaultTag,
} from '../oci/index.ts'
import type { GraphRoot, KeptReferrer } from '../transfer/index.ts'
import { holdRoot } from './heldRoot.ts'
import { imageFor } from './imagePlatform.ts'
import type { PushedTag, PushOptions } from './images.ts'
import { tagsOf } from './repositoryTags.ts'
import type { RegistryAccess } from './registryAccess.ts'
import type { Stores } from './stores.ts'

/** Pushes one tag, or all that a repository has here. */
export async function pushImages(
  stores: Stores,
  text: string,
  options: PushOptions & CallOptions & RegistryAccess,
): Promise<readonly PushedTag[]> {
  const asked = parseReference(text)
  const references = options.allTags === true ? tagsOf(stores, asked) : [withDefaultTag(asked)]
  if (references.length === 0) throw new StrataError('notFound', 'STRATA_NO_SUCH_IMAGE', `Cannot push "${text}": it has no tags here`)
  const roots = await Promise.all(
    references.map(async reference => ({ reference, ...(await rootToPush(stores, reference, text, options)) })),
  )
  const { connectRepository, RateLimit } = await import('../registry/index.ts')
  const { copyGraph, RepositorySink, sendReferrers } = await import('../transfer/index.ts')
  const { limitRate, signal, onProgress } = options
  await using repository = await connectRepository(asked, {
    ...options,
    access: 'push',
    ...(limitRate === undefined ? {} : { rateLimit: new RateLimit(limitRate) }),
  })
  onProgress?.({ id: '', status: `The push refers to repository [${repository.name}]` })
  // The layer store is what derivable blobs are derived from.
  void stores.layers
  const sink = new RepositorySink(repository, { compression: options.compression ?? 'gzip', content: stores.content })
  const pushed: PushedTag[] = []
  for (const { reference, root, image, isSelected } of roots) {
    const tag = reference.tag ?? 'latest'
    await using _lease = holdRoot(stores, root, image)
    const copied = await copyGraph(stores.content, sink, root, {
      select: isSelected,
      ...(signal === undefined ? {} : { signal }),
      ...(onProgress === undefined ? {} : { onProgress }),
    })
    await repository.putManifest(tag, copied, options)
    await sendReferrers(repository, referrersBelow(stores, copied), { content: stores.content, sink }, options)
    const { digest, size } = copied.descriptor
    if (image !== undefined) stores.images.addRepositoryDigest(reference, digest, image.manifest.digest)
    pushed.push({ tag, manifestDigest: digest, manifestBytes: size })
  }
  return pushed
}

interface RootToPush {
  readonly root: Descriptor
  /** The image that the name means, where it means one. */
  readonly image: ImageRecord | undefined
  readonly isSelected: (entry: Descriptor) => boolean
}

/** What goes under a name: its image, its artifact, or its index with the images that are wanted and are here. */
async function rootToPush(stores: Stores, reference: Reference, text: string, options: PushOptions & CallOptions): Promise<RootToPush> {
  const { platforms = [] } = options
  const root = stores.images.rootOf(reference)
  const [platform, ...others] = platforms
  if (root === undefined || !isIndex(root.mediaType) || (platform !== undefined && others.length === 0)) {
    const isArtifact = root !== undefined && stores.images.named(reference) === undefined
    if (isArtifact) return { root, image: undefined, isSelected: () => true }
    const image = await imageFor(stores, root === undefined ? text : familiarName(reference), platform)
    return { root: image.manifest, image, isSelected: () => true }
  }
  const images = await Promise.all(platforms.map(each => imageFor(stores, familiarName(reference), each)))
  const wanted = new Set(images.map(({ manifest }) => manifest.digest))
  const here = await documentsHere(stores, root)
  const isWanted = (entry: Descriptor): boolean =>
    wanted.size === 0 || isIndex(entry.mediaType) || wanted.has(entry.digest) || wanted.has(subjectOfAttestation(entry) ?? entry.digest)
  if (wanted.size === 0 && here.missing > 0)
    options.onProgress?.({ id: '', status: `${familiarName(reference)}: only the platforms that are here are pushed` })
  return { root, image: stores.images.named(reference), isSelected: entry => here.digests.has(entry.digest) && isWanted(entry) }
}

/** What is said here about what was pushed, and about that. What became another manifest on its way has nothing said about it. */
function referrersBelow(stores: Stores, { descriptor, bytes }: GraphRoot): readonly KeptReferrer[] {
  const parts = isIndex(descriptor.mediaType) ? parseIndex(bytes).manifests.map(({ digest }) => digest) : []
  const subjects = new Set([descriptor.digest, ...parts])
  const found: KeptReferrer[] = []
  for (const subject of subjects) {
    for (const referrer of stores.images.referrersOf(subject)) {
      subjects.add(referrer.descriptor.digest)
      found.push({ subject, referrer })
    }
  }
  return found
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
