import { type CallOptions, StrataError } from '../base/index.ts'
import type { Referrer } from '../image/index.ts'
import type { Lease } from '../metadata/index.ts'
import {
  type Descriptor,
  type Digest,
  familiarName,
  formatReference,
  isIndex,
  parseReference,
  type Platform,
  type Reference,
  withDefaultTag,
  withTag,
} from '../oci/index.ts'
import type { Repository } from '../registry/index.ts'
import type { TakenImage } from '../transfer/index.ts'
import { bestForHost } from './bestForHost.ts'
import { hostPlatform, platformsOf } from './hostPlatform.ts'
import { platformOfImage } from './imagePlatform.ts'
import type { PulledImage, PullOptions } from './images.ts'
import { type PolicyFile, readPolicyFile, isPolicyRejection } from './policyFile.ts'
import type { RegistryAccess } from './registryAccess.ts'
import type { Stores } from './stores.ts'

/** Pulls one tag or digest, or every tag of a repository. */
export async function pullImages(
  stores: Stores,
  text: string,
  options: PullOptions & CallOptions & RegistryAccess,
): Promise<readonly PulledImage[]> {
  const { aliasedReference, connectRepository, RateLimit } = await import('../registry/index.ts')
  const asked = (await aliasedReference(text, options)) ?? parseReference(text)
  if (options.allTags === true && (asked.tag !== undefined || asked.digest !== undefined)) {
    throw new StrataError('invalidArgument', 'STRATA_TAG_WITH_ALL_TAGS', `Cannot pull all tags of "${text}": it names one already`)
  }
  const { limitRate } = options
  if (options.allTags !== true) tellDefaultTag(asked, options)
  await using repository = await connectRepository(asked, {
    ...options,
    access: 'pull',
    ...(limitRate === undefined ? {} : { rateLimit: new RateLimit(limitRate) }),
  })
  const policy = await readPolicyFile(options)
  const tags = options.allTags === true ? await imageTags(repository, options) : undefined
  const references = tags === undefined ? [withDefaultTag(asked)] : tags.map(tag => withTag(asked, tag))
  const platforms = wantedPlatforms(options.platforms)
  const pulled: PulledImage[] = []
  for (const reference of references) {
    const isStrict = platforms !== 'all' && (options.platforms?.length ?? 0) > 0
    const pull = (): Promise<PulledImage> => pullOne(stores, reference, { ...options, platforms, isStrict, repository, policy })
    pulled.push(await repository.withoutLiars(pull, isPolicyRejection))
  }
  return pulled
}

/** docker's line for a name that says of no tag which. */
export function tellDefaultTag({ tag, digest }: Reference, { onProgress }: CallOptions): void {
  if (tag === undefined && digest === undefined) onProgress?.({ id: '', status: 'Using default tag: latest' })
}

/** What is said about images comes along with them. */
async function imageTags(repository: Repository, options: CallOptions): Promise<readonly string[]> {
  const { isReferrersTag } = await import('../transfer/index.ts')
  return (await Array.fromAsync(repository.tags(options))).filter(tag => !isReferrersTag(tag))
}

/** What a user asks for; nothing is this machine's platform. */
function wantedPlatforms(asked: PullOptions['platforms'] = []): readonly Platform[] | 'all' {
  if (asked === 'all') return 'all'
  return asked.length === 0 ? [hostPlatform()] : platformsOf(asked)
}

interface PullOneOptions extends CallOptions {
  readonly platforms: readonly Platform[] | 'all'
  /** Whether somebody asked for these platforms; else an image that is for another one alone will do, as with docker. */
  readonly isStrict: boolean
  readonly repository: Repository
  /** Undefined where every image is accepted. */
  readonly policy: PolicyFile | undefined
}

async function pullOne(stores: Stores, reference: Reference, options: PullOneOptions): Promise<PulledImage> {
  const { choosePlatformImage, ReferrerIntake, takeGraph } = await import('../transfer/index.ts')
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
  await using lease = stores.leases.create()
  const signatures = await checkRemoteTrust(stores, reference, {
    ...options,
    digests: [root.descriptor.digest, named.descriptor.digest],
    lease,
  })
  // Of an image that is here docker names no layers.
  const isHere = stores.images.get(root.descriptor.digest) !== undefined
  const report: CallOptions['onProgress'] = progress => {
    if (!isHere || progress.status !== 'Already exists') onProgress?.(progress)
  }
  const call = { lease, onProgress: report, ...(signal === undefined ? {} : { signal }) }
  const into = { content: stores.content, layers: stores.layers, snapshots: await stores.snapshots() }
  const subjects = new Set([named.descriptor.digest, root.descriptor.digest])
  // Most of the time nothing is said about an image, and asking takes as long as a small one.
  await using said = new ReferrerIntake(repository, subjects, into.content, call)
  const taken = await takeGraph(repository, root, into, {
    ...call,
    platforms,
    isStrict: options.isStrict && !isIndex(named.descriptor.mediaType),
  })
  const parts = taken.map(({ facts }) => facts.manifest.digest)
  const signed = signatures.map(referrer => ({ subject: root.descriptor.digest, referrer }))
  const referrers = [...signed, ...(await said.finish(parts))]
  onProgress?.({ id: '', status: `Digest: ${named.descriptor.digest}` })
  const kept = await keptIndex(stores, reference, named.descriptor)
  const chosen = bestForHost([...taken, ...kept])
  const isKnown = stores.recordRoot({
    reference,
    root: kept.length > 0 ? named.descriptor : root.descriptor,
    repositoryDigest: named.descriptor.digest,
    images: taken,
    chosen,
    referrers,
  })
  return {
    reference: formatReference(reference),
    name: familiarName(reference),
    manifestDigest: named.descriptor.digest,
    imageId: chosen?.facts.id ?? root.descriptor.digest,
    newer: !isKnown,
  }
}

/** The images of an index that the name stands for already: what was pulled of it before stays, whichever platform is asked for now. */
async function keptIndex(stores: Stores, reference: Reference, named: Descriptor): Promise<readonly TakenImage[]> {
  const root = stores.images.rootOf(reference)
  if (root?.digest !== named.digest || !isIndex(named.mediaType)) return []
  const images = stores.images.imagesOf(root.digest)
  return Promise.all(images.map(async facts => ({ facts, platform: await platformOfImage(stores, facts) })))
}

/**
 * Asks the policy before anything of the layers is fetched, and takes the signatures that count into the store, by which
 * the image can be checked again.
 */
async function checkRemoteTrust(
  stores: Stores,
  reference: Reference,
  options: PullOneOptions & { readonly digests: readonly Digest[]; readonly lease: Lease },
): Promise<readonly Referrer[]> {
  const { policy, repository, digests, lease } = options
  if (policy === undefined) return []
  const { checkTrust, registryImage } = await import('./trust.ts')
  const { RemoteSignatures } = await import('../transfer/index.ts')
  const found = new RemoteSignatures(repository, [...new Set(digests)], options)
  const counted = await checkTrust(policy, registryImage(reference, digests, found))
  return found.take(counted, stores.content, lease)
}
