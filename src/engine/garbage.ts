import { collect, type Resource, Trash, withReserve } from '../metadata/index.ts'
import { isDigest } from '../oci/index.ts'
import type { Stores } from './stores.ts'

/** What a collection removed. */
export interface Collected {
  readonly removed: readonly Resource[]
  /** Bytes of blobs and layers, and of those that killed commands were writing. */
  readonly reclaimedBytes: number
}

export interface CollectGarbageOptions {
  /** What containers hold; asked inside the transaction. */
  readonly containers: () => Iterable<Resource>
  /** Also what killed commands were making, and could be taken up again. */
  readonly interrupted: boolean
}

/** Removes what no image, container or lease reaches. */
export async function collectGarbage(stores: Stores, { containers, interrupted }: CollectGarbageOptions): Promise<Collected> {
  const { metadata, leases, content, layers, images } = stores
  const snapshots = await stores.snapshots()
  if (interrupted) leases.endAbandoned()
  const { StepCache } = await import('../build/index.ts')
  const steps = new StepCache(metadata)
  const sizes = new Map<string, number>()
  for await (const { digest, size, state } of content.list()) if (state === 'kept') sizes.set(keyOf('blob', digest), size)
  for await (const { diffId, contentBytes } of layers.list()) sizes.set(keyOf('layer', diffId), contentBytes)
  for (const { id, bytes } of content.interruptedIngests()) sizes.set(keyOf('ingest', id), bytes)
  const removed = await withReserve(metadata, () =>
    collect({
      metadata,
      leases,
      kinds: [
        ...content.collectables({ interrupted }),
        ...layers.collectables(),
        ...(snapshots === undefined ? [] : [snapshots.collectable()]),
      ],
      *roots() {
        for (const image of images.list()) yield* images.references(image.manifest.digest)
        yield* images.rootReferences()
        yield* containers()
        yield* steps.references()
      },
    }),
  )
  images.forgetReferrers(removed.flatMap(({ kind, id }) => (kind === 'blob' && isDigest(id) ? [id] : [])))
  if (interrupted) await snapshots?.removeOrphans()
  await new Trash(stores.root).empty()
  return { removed, reclaimedBytes: removed.reduce((sum, { kind, id }) => sum + (sizes.get(keyOf(kind, id)) ?? 0), 0) }
}

const keyOf = (kind: string, id: string): string => `${kind} ${id}`
