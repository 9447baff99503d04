import type { Containers } from '../container/index.ts'
import type { KeptRoot } from '../image/index.ts'
import { type Digest, familiarForm } from '../oci/index.ts'
import { listImages } from './imageList.ts'
import type { Stores } from './stores.ts'
import type { CacheUsage, DiskUsage } from './system.ts'
import { reachedFrom, untaggedRoots } from './untaggedRoots.ts'

/** What images, containers and volumes take; a layer counts once, however many images stand on it. */
export async function diskUsage(stores: Stores, containers: Containers | undefined): Promise<DiskUsage> {
  const bytesOf = new Map<string, number>()
  for await (const { diffId, contentBytes } of stores.layers.list()) bytesOf.set(diffId, contentBytes)
  const records = stores.images.list()
  const owners = new Map<string, Set<string>>()
  for (const { id, diffIds } of records) {
    for (const diffId of diffIds) owners.set(diffId, (owners.get(diffId) ?? new Set()).add(id))
  }
  const summaries = (await containers?.list({ all: true, size: true })) ?? []
  const images = listImages(stores.images, { all: true }).map(image => {
    const { diffIds } = records.find(({ id }) => id === image.id)!
    const shared = diffIds.filter(diffId => owners.get(diffId)!.size > 1)
    return {
      ...image,
      sharedBytes: shared.reduce((sum, diffId) => sum + (bytesOf.get(diffId) ?? 0), 0),
      containers: summaries.filter(({ imageId }) => imageId === image.id).length,
    }
  })
  return {
    images,
    layersBytes: [...owners.keys()].reduce((sum, diffId) => sum + (bytesOf.get(diffId) ?? 0), 0),
    interruptedBytes: stores.content.interruptedIngests().reduce((sum, { bytes }) => sum + bytes, 0),
    containers: summaries,
    cache: await cacheUsage(stores),
    volumes: (await containers?.volumes({ size: true })) ?? [],
  }
}

const rootDigest = ({ root }: KeptRoot): Digest => root.digest

async function cacheUsage(stores: Stores): Promise<CacheUsage> {
  const { images, content } = stores
  const kept = images.keptRoots()
  const cached = kept.filter(({ isCached }) => isCached)
  if (cached.length === 0) return { names: [], bytes: 0, reclaimableBytes: 0 }
  const sizes = new Map<Digest, number>()
  for await (const { digest, size, state } of content.list()) if (state === 'kept') sizes.set(digest, size)
  const sizeOf = (digests: Iterable<Digest>): number => Iterator.from(digests).reduce((sum, digest) => sum + (sizes.get(digest) ?? 0), 0)
  const others = kept.filter(({ isCached }) => !isCached)
  const needed = reachedFrom(stores, [...others.map(rootDigest), ...images.list().map(({ manifest }) => manifest.digest)])
  const reached = reachedFrom(stores, cached.map(rootDigest))
  const untagged = new Set(untaggedRoots(stores).map(({ name }) => name))
  return {
    names: cached
      .filter(({ name }) => !name.includes('@') || untagged.has(name))
      .map(({ name, root }) => ({ name: familiarForm(name), digest: root.digest, sizeBytes: sizeOf(reachedFrom(stores, [root.digest])) })),
    bytes: sizeOf(reached),
    reclaimableBytes: sizeOf([...reached].filter(digest => !needed.has(digest))),
  }
}
