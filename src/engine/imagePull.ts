import { type CallOptions, StrataError } from '../base/index.ts'
import { familiarName, formatReference, parseReference, type Platform, type Reference, withDefaultTag, withTag } from '../oci/index.ts'
import type { Repository } from '../registry/index.ts'
import { bestForHost } from './bestForHost.ts'
import { wantedPlatforms } from './hostPlatform.ts'
import type { PulledImage, PullOptions } from './images.ts'
import type { Stores } from './stores.ts'

/** Pulls one tag or digest, or every tag of a repository. */
export async function pullImages(
  stores: Stores,
  text: string,
  options: PullOptions & CallOptions & { readonly configDirectory: string },
): Promise<readonly PulledImage[]> {
  const asked = parseReference(text)
  if (options.allTags === true && (asked.tag !== undefined || asked.digest !== undefined)) {
    throw new StrataError('invalidArgument', 'STRATA_TAG_WITH_ALL_TAGS', `Cannot pull all tags of "${text}": it names one already`)
  }
  const { connectRepository } = await import('../registry/index.ts')
  const { configDirectory, signal, onProgress } = options
  await using repository = await connectRepository(asked, { configDirectory, access: 'pull', ...(signal === undefined ? {} : { signal }) })
  const tags = options.allTags === true ? await Array.fromAsync(repository.tags(options)) : undefined
  const references = tags === undefined ? [withDefaultTag(asked)] : tags.map(tag => withTag(asked, tag))
  const platforms = wantedPlatforms(options.platforms)
  const pulled: PulledImage[] = []
  for (const reference of references) {
    if (options.allTags !== true && asked.tag === undefined && asked.digest === undefined)
      onProgress?.({ id: '', status: 'Using default tag: latest' })
    pulled.push(await pullOne(stores, reference, { ...options, platforms, repository }))
  }
  return pulled
}

interface PullOneOptions extends CallOptions {
  readonly platforms: readonly Platform[] | 'all'
  readonly repository: Repository
}

async function pullOne(stores: Stores, reference: Reference, options: PullOneOptions): Promise<PulledImage> {
  const { choosePlatformImage, takeGraph } = await import('../transfer/index.ts')
  const { platforms, repository, signal, onProgress } = options
  const named = await repository.manifest(reference.digest ?? reference.tag ?? 'latest', options)
  const [platform, ...others] = platforms === 'all' ? [] : platforms
  // One platform's image stands for itself; several stand in their index.
  const root =
    platform !== undefined && others.length === 0 ? await choosePlatformImage(repository, named, { ...options, platform }) : named
  onProgress?.({
    id: '',
    status: `${reference.digest === undefined ? reference.tag : familiarName(reference)}: Pulling from ${reference.path}`,
  })
  // Of an image that is here docker names no layers.
  const isHere = stores.images.get(root.descriptor.digest) !== undefined
  const report: CallOptions['onProgress'] = progress => {
    if (!isHere || progress.status !== 'Already exists') onProgress?.(progress)
  }
  await using lease = stores.leases.create()
  const taken = await takeGraph(
    repository,
    root,
    { content: stores.content, layers: stores.layers, snapshots: await stores.snapshots() },
    { lease, platforms, onProgress: report, ...(signal === undefined ? {} : { signal }) },
  )
  onProgress?.({ id: '', status: `Digest: ${named.descriptor.digest}` })
  const chosen = bestForHost(taken)
  const isKnown = stores.recordRoot({ reference, root: root.descriptor, repositoryDigest: named.descriptor.digest, images: taken, chosen })
  return {
    reference: formatReference(reference),
    name: familiarName(reference),
    manifestDigest: named.descriptor.digest,
    imageId: chosen?.facts.id ?? root.descriptor.digest,
    newer: !isKnown,
  }
}
