import type { Containers } from '../container/index.ts'
import { listImages } from './imageList.ts'
import type { Stores } from './stores.ts'
import type { DiskUsage } from './system.ts'

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
    volumes: (await containers?.volumes({ size: true })) ?? [],
  }
}
