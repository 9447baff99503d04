import { type CallOptions, type Durability, StrataError } from '../base/index.ts'
import type { ImageSink } from '../archive/index.ts'
import { formatReference, type Reference } from '../oci/index.ts'
import type { RateLimit, Repository } from '../registry/index.ts'
import type { GraphRoot, Transport } from '../transfer/index.ts'
import { hostPlatform } from './hostPlatform.ts'
import type { RegistryAccess } from './registryAccess.ts'
import type { Stores } from './stores.ts'

export interface CopyTargetOptions extends CallOptions, RegistryAccess {
  readonly durability: Durability
  /** Counts what comes and what goes. */
  readonly rateLimit?: RateLimit
  /** Repositories (`host/path`) that have what is copied: of the same registry, blobs are mounted from them. */
  readonly neighbours: readonly string[]
}

export interface CopyTarget extends ImageSink {
  /** Where it is one of a registry. */
  readonly repository?: Repository
}

/** Opens where a graph is copied to, which is no store. */
export async function openCopyTarget(
  stores: Stores,
  to: Exclude<Transport, { readonly kind: 'strata' }>,
  options: CopyTargetOptions,
): Promise<CopyTarget> {
  if (to.kind === 'docker') return openRemote(stores, to.reference, options)
  const { ArchiveTarget, ImageDirectory, LayoutDirectory } = await import('../archive/index.ts')
  const { durability } = options
  const archive = { durability, platform: hostPlatform() }
  switch (to.kind) {
    case 'dir':
      return ImageDirectory.create(to.path, durability)
    case 'oci':
      return LayoutDirectory.open(to.path, { name: newName(to.path, to.name), durability })
    case 'oci-archive': {
      const label = newName(to.path, to.name)
      const names = { names: [], ...(label === undefined ? {} : { label }) }
      return ArchiveTarget.create(to.path, stores.scratchDirectory(), { ...archive, format: to.kind, names })
    }
    case 'docker-archive': {
      const image = newName(to.path, to.image)
      const names = { names: image === undefined ? [] : [image] }
      return ArchiveTarget.create(to.path, stores.scratchDirectory(), { ...archive, format: to.kind, names })
    }
    default:
      return to satisfies never
  }
}

/** What the copy is called there. */
function newName<Name>(path: string, name: Name | number): Name {
  if (typeof name !== 'number') return name
  throw new StrataError(
    'invalidArgument',
    'STRATA_TRANSPORT_INVALID',
    `Cannot copy to "${path}": @${name} is a place among images that are there, and no name for a new one`,
    { hint: 'Name the image by NAME[:TAG], or leave the name out.' },
  )
}

async function openRemote(stores: Stores, reference: Reference, options: CopyTargetOptions): Promise<CopyTarget> {
  const { connectRepository } = await import('../registry/index.ts')
  const { RepositorySink } = await import('../transfer/index.ts')
  const repository = await connectRepository(reference, { ...options, access: 'push' })
  // Which repositories have a layer is known and noted, as by a push.
  const sink = new RepositorySink(repository, { compression: 'none', content: stores.content, neighbours: options.neighbours })
  return {
    repository,
    take: (target, source, call) => sink.take(target, source, call),
    async finish(root, call) {
      if (reference.digest !== undefined && reference.digest !== root.descriptor.digest) throw notThatDigest(reference, root)
      await repository.putManifest(reference.digest ?? reference.tag ?? 'latest', root, call)
    },
    [Symbol.asyncDispose]: async () => repository[Symbol.asyncDispose](),
  }
}

function notThatDigest(reference: Reference, { descriptor }: GraphRoot): StrataError {
  return new StrataError(
    'conflict',
    'STRATA_OTHER_DIGEST',
    `Cannot copy to "${formatReference(reference)}": what is copied has the digest ${descriptor.digest}`,
  )
}
