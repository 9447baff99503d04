import { type CallOptions, type Durability, lent, StrataError } from '../base/index.ts'
import type { BlobSource } from '../content/index.ts'
import type { Referrer } from '../image/index.ts'
import type { Lease } from '../metadata/index.ts'
import { type Descriptor, type Digest, isIndex, isManifest, parseReference, type Reference, withDefaultTag } from '../oci/index.ts'
import type { RateLimit, Repository } from '../registry/index.ts'
import type { ChosenGraph, GraphRoot, GraphSink, KeptReferrer, ReferrerTarget, Transport } from '../transfer/index.ts'
import { takeArchivedGraph } from './archivedGraph.ts'
import { refuseOntoItself } from './copyOntoItself.ts'
import { type CopySource, openCopySource, type SignatureKeeper } from './copySource.ts'
import { openCopyTarget } from './copyTarget.ts'
import { noteDockerTypes } from './dockerTypesNote.ts'
import { hostPlatform, platformsOf } from './hostPlatform.ts'
import type { CopiedImage, CopyImageOptions } from './images.ts'
import { tagRoot } from './imageTag.ts'
import { manifestsOf, referrersBelow } from './referrersBelow.ts'
import type { Stores } from './stores.ts'
import type { RegistryAccess } from './registryAccess.ts'
import { recordTaken } from './takenRoot.ts'

export interface CopyCall extends CopyImageOptions, CallOptions, RegistryAccess {
  readonly durability: Durability
}

interface LimitedCall extends Omit<CopyCall, 'limitRate'> {
  readonly rateLimit?: RateLimit
}

/** Copies an image, an index or an artifact from one place to another. */
export async function copyImage(
  stores: Stores,
  places: { readonly source: string; readonly destination: string },
  { limitRate, ...call }: CopyCall,
): Promise<CopiedImage> {
  const { parseTransport } = await import('../transfer/index.ts')
  const options: LimitedCall =
    limitRate === undefined ? call : { ...call, rateLimit: new (await import('../registry/index.ts')).RateLimit(limitRate) }
  const [from, to] = [parseTransport(places.source), parseTransport(places.destination)]
  const { platforms = [] } = options
  if (from.kind === 'strata' && to.kind === 'strata' && (platforms === 'all' || platforms.length === 0)) {
    // Within one store everything is shared.
    tagRoot(stores, from.reference, nameIn(to))
    return { manifestDigest: stores.images.rootOf(nameIn(to))!.digest }
  }
  await using source = await openCopySource(stores, from, options)
  refuseOntoItself(source, { from, to })
  const copy = (): Promise<Descriptor> =>
    to.kind === 'strata' ? copyToStore(stores, source, to, options) : copyToPlace(stores, source, to, options)
  const { digest } = await source.copying(copy)
  return { manifestDigest: digest }
}

type StrataPlace = Extract<Transport, { readonly kind: 'strata' }>

function nameIn({ reference }: StrataPlace): Reference {
  const name = withDefaultTag(parseReference(reference))
  if (name.digest === undefined) return name
  throw new StrataError(
    'invalidArgument',
    'STRATA_NAME_HAS_DIGEST',
    `Cannot copy to "strata:${reference}": a name with a digest cannot be given`,
  )
}

/** What of the source is meant. One platform's image stands for itself; several stand in their index. */
async function choose(source: CopySource, options: LimitedCall): Promise<ChosenGraph> {
  const { platforms = [] } = options
  if (source.isChosen || platforms === 'all') return source
  const { choosePlatformImage, choosePlatforms } = await import('../transfer/index.ts')
  if (platforms.length > 0) return choosePlatforms(source.blobs, source.root, { ...callOf(options), platforms: platformsOf(platforms) })
  return { root: await choosePlatformImage(source.blobs, source.root, { ...callOf(options), platform: hostPlatform() }) }
}

/** The store unpacks images, and keeps an index as it is, with those of its images that are wanted. */
async function copyToStore(stores: Stores, source: CopySource, to: StrataPlace, options: LimitedCall): Promise<Descriptor> {
  const { takeGraph } = await import('../transfer/index.ts')
  const name = nameIn(to)
  const { platforms: asked = [] } = options
  const platforms = asked === 'all' ? [] : platformsOf(asked)
  const isPart = platforms.length > 1
  const { root } = isPart ? source : await choose(source, options)
  await using lease = stores.leases.create()
  const signatures = await checkTrust(source, root, { content: stores.content, lease })
  const call = { ...callOf(options), lease, platforms: isPart ? platforms : ('all' as const) }
  const { blobs, archive } = source
  const all = { content: stores.content, layers: stores.layers, snapshots: await stores.snapshots() }
  const taken =
    archive === undefined
      ? { root: root.descriptor, images: await takeGraph(blobs, root, all, call) }
      : await takeArchivedGraph(stores, { archive, root }, call)
  if (taken.root.digest !== root.descriptor.digest && options.preserveDigests === true) throw digestChanges(root)
  const { repository, origins = [], reference } = source
  const subjects = [taken.root, ...taken.images.map(({ facts }) => facts.manifest)].map(({ digest }) => digest)
  const signed = signatures.map(referrer => ({ subject: taken.root.digest, referrer }))
  const referrers = [...signed, ...(repository === undefined ? [] : await saidAbout(repository, subjects, stores, call))]
  recordTaken(stores, [{ ...taken, names: [name], origins, ...(reference === undefined ? {} : { said: { reference, referrers } }) }])
  return taken.root
}

async function saidAbout(
  repository: Repository,
  subjects: readonly Digest[],
  { content }: Stores,
  call: CallOptions & { readonly lease: Lease },
): Promise<readonly KeptReferrer[]> {
  const { ReferrerIntake } = await import('../transfer/index.ts')
  await using said = new ReferrerIntake(repository, subjects, content, call)
  return await said.finish([])
}

/** What a registry sends is ours alone, and another that gets it keeps none of it. Documents we read as a whole. */
function lending(source: BlobSource): BlobSource {
  return {
    async open(blob, options) {
      const bytes = await source.open(blob, options)
      return isManifest(blob.mediaType) || isIndex(blob.mediaType) ? bytes : lent(bytes)
    },
  }
}

async function copyToPlace(
  stores: Stores,
  source: CopySource,
  to: Exclude<Transport, StrataPlace>,
  options: LimitedCall,
): Promise<Descriptor> {
  const { copyGraph, reportedSink, sentAgain, withRoot } = await import('../transfer/index.ts')
  const { archive } = source
  if (archive?.since !== undefined) throw archive.since.notWhole(archive.title)
  const { root, select } = await choose(source, options)
  await checkTrust(source, root)
  if (options.preserveDigests === true) await checkDigestStays(source, { root, ...(select === undefined ? {} : { select }) }, options)
  const { onProgress, signal } = options
  const call = signal === undefined ? {} : { signal }
  const blobs = source.repository !== undefined && to.kind === 'docker' ? lending(source.blobs) : source.blobs
  await using target = await openCopyTarget(stores, to, {
    ...options,
    neighbours: source.repository === undefined ? [] : [source.repository.name],
  })
  const sink = reportedSink(target, onProgress)
  return await sentAgain(async () => {
    const copied = await copyGraph(withRoot(blobs, root), sink, root.descriptor, {
      ...call,
      ...(select === undefined ? {} : { select }),
    })
    await target.finish(copied, call)
    if (to.kind === 'oci' || to.kind === 'oci-archive') noteDockerTypes([copied], options)
    if (target.repository !== undefined)
      await copyReferrers(stores, source, { repository: target.repository, sink }, copied, callOf(options))
    return copied.descriptor
  })
}

/** What is said about what was copied follows it to a registry, from another one and from the store. Other places are not asked. */
async function copyReferrers(
  stores: Stores,
  { repository, archive, heard = [] }: CopySource,
  to: ReferrerTarget,
  copied: GraphRoot,
  call: CallOptions,
): Promise<void> {
  if (archive !== undefined || repository?.name === to.repository.name) return
  const { forwardReferrers, sendReferrers } = await import('../transfer/index.ts')
  if (repository === undefined) await sendReferrers(stores.content, referrersBelow(stores, copied, heard), to, call)
  else await forwardReferrers(repository, manifestsOf(copied), to, call)
}

/** Blobs go as they are: only an index that loses entries becomes another one, and its documents tell that before anything is sent. */
async function checkDigestStays({ blobs }: CopySource, { root, select }: ChosenGraph, options: LimitedCall): Promise<void> {
  if (select === undefined) return
  const { copyGraph, withRoot } = await import('../transfer/index.ts')
  const nowhere: GraphSink = { take: async target => target }
  const { signal } = options
  const copied = await copyGraph(withRoot(blobs, root), nowhere, root.descriptor, { select, ...(signal === undefined ? {} : { signal }) })
  if (copied.descriptor.digest !== root.descriptor.digest) throw digestChanges(root)
}

async function checkTrust(source: CopySource, { descriptor }: GraphRoot, keep?: SignatureKeeper): Promise<readonly Referrer[]> {
  return source.checkTrust([...new Set([descriptor.digest, source.root.descriptor.digest])], keep)
}

function digestChanges({ descriptor }: GraphRoot): StrataError {
  return new StrataError(
    'conflict',
    'STRATA_DIGEST_CHANGES',
    `Cannot copy ${descriptor.digest} with its digest: not all of it goes along, or it is here in another form`,
    { hint: 'Copy an index with --all, or without --preserve-digests.' },
  )
}

/** What of the options the parts below understand. */
function callOf({ signal, onProgress }: CallOptions): CallOptions {
  return { ...(signal === undefined ? {} : { signal }), ...(onProgress === undefined ? {} : { onProgress }) }
}
