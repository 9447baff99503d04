import { type CallOptions, StrataError } from '../base/index.ts'
import { familiarName, parseReference, type Reference, withDefaultTag } from '../oci/index.ts'
import { holdRoot } from './heldRoot.ts'
import { tellDefaultTag } from './imagePull.ts'
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
  const { platforms = [], limitRate, signal, onProgress } = options
  if (options.allTags === true && (asked.tag !== undefined || asked.digest !== undefined))
    throw new StrataError('invalidArgument', 'STRATA_TAG_WITH_ALL_TAGS', `Cannot push all tags of "${text}": it names one already`)
  if (options.allTags !== true) tellDefaultTag(asked, options)
  onProgress?.({ id: '', status: `The push refers to repository [${asked.domain}/${asked.path}]` })
  const references = options.allTags === true ? tagsOf(stores, asked) : [withDefaultTag(asked)]
  // An id is no name to push to, also where it reads as one.
  if (references.length === 0 || references.some(reference => stores.images.rootOf(reference) === undefined)) {
    const state = options.allTags === true ? 'it has no tags here' : 'no such image'
    throw new StrataError('notFound', 'STRATA_NO_SUCH_IMAGE', `Cannot push "${text}": ${state}`, {
      hint: 'Give it a name with `strata tag`; `strata images` lists what is here.',
    })
  }
  const roots = await Promise.all(
    references.map(async reference => ({ reference, ...(await rootHere(stores, reference, { text, platforms })) })),
  )
  const { connectRepository, RateLimit } = await import('../registry/index.ts')
  const { copyGraph, RepositorySink, sendReferrers, sentAgain } = await import('../transfer/index.ts')
  await using repository = await connectRepository(asked, {
    ...options,
    access: 'push',
    ...(limitRate === undefined ? {} : { rateLimit: new RateLimit(limitRate) }),
  })
  // The layer store is what derivable blobs are derived from.
  void stores.layers
  const sink = new RepositorySink(repository, { compression: options.compression ?? 'gzip', content: stores.content })
  const pushed: PushedTag[] = []
  for (const { reference, root, image, isSelected, isPartial } of roots) {
    const tag = reference.digest ?? reference.tag ?? 'latest'
    if (platforms.length === 0 && isPartial)
      onProgress?.({ id: '', status: `${familiarName(reference)}: only the platforms that are here are pushed` })
    await using _lease = holdRoot(stores, root, image)
    const { digest, size } = await sentAgain(async () => {
      const copied = await copyGraph(stores.content, sink, root, {
        select: isSelected,
        ...(signal === undefined ? {} : { signal }),
        ...(onProgress === undefined ? {} : { onProgress }),
      })
      if (reference.digest !== undefined && copied.descriptor.digest !== reference.digest) throw otherDigest(reference)
      await repository.putManifest(tag, copied, options)
      await sendReferrers(
        stores.content,
        referrersBelow(stores, copied, stores.images.repositoriesAbout(root.digest, reference)),
        { repository, sink },
        options,
      )
      return copied.descriptor
    })
    if (image !== undefined) stores.images.addRepositoryDigest(reference, digest, image.manifest.digest)
    pushed.push({ tag, manifestDigest: digest, manifestBytes: size })
  }
  return pushed
}

function otherDigest(reference: Reference): StrataError {
  return new StrataError(
    'conflict',
    'STRATA_DIGEST_CHANGES',
    `Cannot push "${familiarName(reference)}" under its digest: not all of it is here, or its layers are compressed on their way`,
    { hint: 'Push it by a tag, or with --compression none.' },
  )
}
