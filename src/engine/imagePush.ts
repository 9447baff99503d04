import { type CallOptions, StrataError } from '../base/index.ts'
import { familiarName, parseReference, withDefaultTag } from '../oci/index.ts'
import { holdRoot } from './heldRoot.ts'
import type { PushedTag, PushOptions } from './images.ts'
import { referrersBelow } from './referrersBelow.ts'
import { tagsOf } from './repositoryTags.ts'
import type { RegistryAccess } from './registryAccess.ts'
import { rootHere } from './rootHere.ts'
import type { Stores } from './stores.ts'

/** Pushes one tag, or all that a repository has here. */
export async function pushImages(
  stores: Stores,
  text: string,
  options: PushOptions & CallOptions & RegistryAccess,
): Promise<readonly PushedTag[]> {
  const asked = parseReference(text)
  const { platforms = [] } = options
  const references = options.allTags === true ? tagsOf(stores, asked) : [withDefaultTag(asked)]
  if (references.length === 0) throw new StrataError('notFound', 'STRATA_NO_SUCH_IMAGE', `Cannot push "${text}": it has no tags here`)
  const roots = await Promise.all(
    references.map(async reference => ({ reference, ...(await rootHere(stores, reference, { text, platforms })) })),
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
  for (const { reference, root, image, isSelected, isPartial } of roots) {
    const tag = reference.tag ?? 'latest'
    if (platforms.length === 0 && isPartial)
      onProgress?.({ id: '', status: `${familiarName(reference)}: only the platforms that are here are pushed` })
    await using _lease = holdRoot(stores, root, image)
    const copied = await copyGraph(stores.content, sink, root, {
      select: isSelected,
      ...(signal === undefined ? {} : { signal }),
      ...(onProgress === undefined ? {} : { onProgress }),
    })
    await repository.putManifest(tag, copied, options)
    await sendReferrers(stores.content, referrersBelow(stores, copied), { repository, sink }, options)
    const { digest, size } = copied.descriptor
    if (image !== undefined) stores.images.addRepositoryDigest(reference, digest, image.manifest.digest)
    pushed.push({ tag, manifestDigest: digest, manifestBytes: size })
  }
  return pushed
}
