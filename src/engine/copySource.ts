import type { ArchiveSource } from '../archive/index.ts'
import type { CallOptions } from '../base/index.ts'
import type { DiskContentStore } from '../content/index.ts'
import type { Origin, Referrer } from '../image/index.ts'
import type { Lease } from '../metadata/index.ts'
import type { Digest, Reference } from '../oci/index.ts'
import type { RateLimit, Repository } from '../registry/index.ts'
import type { ChosenGraph, ImageSource, Transport } from '../transfer/index.ts'
import { holdRoot } from './heldRoot.ts'
import type { CopyImageOptions } from './images.ts'
import { checkArchived } from './intakeTrust.ts'
import { type PolicyDirectories, readPolicyFile } from './policyFile.ts'
import { readRoot } from './readRoot.ts'
import { rootHere } from './rootHere.ts'
import type { RegistryAccess } from './registryAccess.ts'
import type { Stores } from './stores.ts'

/** What is copied, and where its blobs come from. */
export interface CopySource extends ChosenGraph, AsyncDisposable {
  readonly blobs: ImageSource
  /** Whether the platforms are chosen already: the store knows which of an index it has. */
  readonly isChosen: boolean
  /**
   * Asks the policy, before anything is taken.
   *
   * @param digests those of the manifest and of the index that it is chosen from
   * @param keep where the signatures that count are to be kept
   * Resolves with those that are kept.
   */
  checkTrust(digests: readonly Digest[], keep?: SignatureKeeper): Promise<readonly Referrer[]>
  /** Where it is an archive or a directory. */
  readonly archive?: ArchiveSource
  /** Where it is one of a registry. */
  readonly repository?: Repository
  /** By which it was asked for there. */
  readonly reference?: Reference
  /** The registries' repositories that it comes from, or came from before it was here. */
  readonly origins?: readonly Origin[]
  /** The repositories whose word about what is here counts: see `ImageStore.repositoriesAbout`. */
  readonly heard?: readonly string[]
  /** Does the copying, and again where a mirror turned out to lie. */
  copying<Result>(work: () => Promise<Result>): Promise<Result>
}

export interface SignatureKeeper {
  readonly content: DiskContentStore
  readonly lease: Lease
}

const once = <Result>(work: () => Promise<Result>): Promise<Result> => work()

export interface CopySourceOptions extends CopyImageOptions, CallOptions, RegistryAccess {
  /** Counts what comes and what goes. */
  readonly rateLimit?: RateLimit
}

/** Finds what a location names. Rejects with `notFound` when it is not there. */
export async function openCopySource(stores: Stores, from: Transport, options: CopySourceOptions): Promise<CopySource> {
  if (from.kind === 'docker') return openRemote(from.reference, options)
  if (from.kind === 'strata') return openLocal(stores, from.reference, options)
  return openFiles(stores, from, options)
}

async function openRemote(reference: Reference, options: CopySourceOptions): Promise<CopySource> {
  const { signal } = options
  const { connectRepository } = await import('../registry/index.ts')
  const call = signal === undefined ? {} : { signal }
  await using opened = new AsyncDisposableStack()
  const repository = opened.use(await connectRepository(reference, { ...options, access: 'pull' }))
  const root = await repository.manifest(reference.digest ?? reference.tag ?? 'latest', call)
  const held = opened.move()
  return {
    blobs: repository,
    root,
    isChosen: false,
    repository,
    reference,
    origins: [{ repository: `${reference.domain}/${reference.path}`, given: root.descriptor.digest, isPushed: false }],
    copying: work => repository.withoutLiars(work),
    async checkTrust(digests, keep) {
      const policy = await readPolicyFile(options)
      if (policy === undefined) return []
      const { checkTrust, registryImage } = await import('./trust.ts')
      const { RemoteSignatures } = await import('../transfer/index.ts')
      const found = new RemoteSignatures(repository, digests, call)
      const counted = await checkTrust(policy, registryImage(reference, digests, found))
      return keep === undefined ? [] : found.take(counted, keep.content, keep.lease)
    },
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}

/** Without a wish for platforms a name means its image, as for every verb that looks at one. */
async function openLocal(stores: Stores, text: string, { platforms }: CopySourceOptions): Promise<CopySource> {
  // The layer store is what derivable blobs are derived from.
  void stores.layers
  const name = stores.images.nameMeant(text)
  const asked = platforms === undefined || platforms.length === 0 ? undefined : platforms === 'all' ? [] : platforms
  const { root, image, isSelected } = await rootHere(stores, name, { text, platforms: asked ?? [] })
  const meant = asked === undefined && image !== undefined ? image.manifest : root
  await using held = new AsyncDisposableStack()
  held.use(holdRoot(stores, root, image))
  const bytes = await readRoot(stores.content, meant)
  const lease = held.move()
  return {
    blobs: stores.content,
    root: bytes,
    select: isSelected,
    isChosen: true,
    origins: [root, meant].flatMap(({ digest }) => stores.images.originsOf(digest)),
    heard: stores.images.repositoriesAbout(root.digest, name),
    copying: once,
    // It has come in, and is not used here.
    checkTrust: async () => [],
    [Symbol.asyncDispose]: () => lease.disposeAsync(),
  }
}

async function openFiles(
  stores: Stores,
  from: Extract<Transport, { readonly path: string }>,
  options: PolicyDirectories & CallOptions,
): Promise<CopySource> {
  const { chooseArchived, openImages } = await import('../archive/index.ts')
  await using opened = new AsyncDisposableStack()
  const blobs = opened.use(await openImages(from.path, stores.scratchDirectory(), options))
  const wanted = from.kind === 'docker-archive' ? from.image : from.kind === 'dir' ? undefined : from.name
  const chosen = chooseArchived(blobs, wanted)
  const root = await readRoot(blobs, chosen.descriptor)
  const held = opened.move()
  return {
    blobs,
    root,
    isChosen: false,
    archive: blobs,
    copying: once,
    async checkTrust() {
      await checkArchived(options, blobs, { root: chosen, path: from.path })
      return []
    },
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}
