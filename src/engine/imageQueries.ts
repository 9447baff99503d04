import type { ImageRecord } from '../image/index.ts'
import type { History } from '../oci/index.ts'
import { readConfig } from './imageConfig.ts'
import type { ImageInspect } from './imageInspect.ts'
import { imageFor } from './imagePlatform.ts'
import { inspectedConfig, NEVER } from './inspectedConfig.ts'
import type { HistoryEntry, PlatformOption } from './images.ts'
import type { Stores } from './stores.ts'

export async function inspectImage(stores: Stores, text: string, { platform }: PlatformOption): Promise<ImageInspect> {
  const image = await imageFor(stores, text, platform)
  const all = stores.images.withId(image.id)
  const { config } = await readConfig(stores, image)
  const snapshots = await stores.snapshots()
  const unpacked = image.chainId !== undefined && snapshots?.has(image.chainId) === true
  return {
    Id: image.id,
    RepoTags: all.flatMap(({ names }) => names),
    RepoDigests: all.flatMap(({ repositoryDigests }) => repositoryDigests),
    Parent: image.parentId ?? '',
    ...inspectedConfig(config),
    Size: image.contentBytes,
    GraphDriver: { Name: snapshots?.driverName ?? 'none', Data: unpacked ? { ...snapshots.describe(image.chainId) } : null },
    RootFS: { Type: 'layers', Layers: image.diffIds },
    Metadata: { LastTagTime: (image.lastTaggedAt ?? NEVER).toISOString() },
    Descriptor: { mediaType: image.manifest.mediaType, digest: image.manifest.digest, size: image.manifest.size },
  }
}

/** One entry for each step, newest first; the image itself is known by id, and what it was made from here. */
export async function imageHistory(stores: Stores, text: string, { platform }: PlatformOption): Promise<readonly HistoryEntry[]> {
  const image = await imageFor(stores, text, platform)
  const { config } = await readConfig(stores, image)
  const sizes = image.diffIds.map(diffId => stores.layers.get(diffId)?.contentBytes ?? 0)
  const steps: readonly History[] = config.history ?? image.diffIds.map(() => ({}))
  let layer = 0
  const entries = steps.map((step): HistoryEntry => {
    const sizeBytes = step.empty_layer === true ? 0 : (sizes[layer++] ?? 0)
    return {
      imageId: undefined,
      createdAt: step.created === undefined ? undefined : new Date(step.created),
      createdBy: step.created_by ?? '',
      comment: step.comment ?? '',
      sizeBytes,
      tags: [],
    }
  })
  const known = ancestors(stores, image)
  return entries.toReversed().map((entry, stepsBelowTop) => {
    const at = known.find(({ depth }) => depth === stepsBelowTop)
    return at === undefined ? entry : { ...entry, imageId: at.image.id, tags: at.image.names }
  })
}

/** The image and those that it was made from here, with how many history steps below the top each one ends. */
function ancestors(stores: Stores, image: ImageRecord): readonly { readonly image: ImageRecord; readonly depth: number }[] {
  const found = [{ image, depth: 0 }]
  let current: ImageRecord | undefined = image
  while (current?.parentId !== undefined) {
    const parent: ImageRecord | undefined = stores.images.withId(current.parentId)[0]
    // A commit adds one step.
    if (parent !== undefined) found.push({ image: parent, depth: found.length })
    current = parent
  }
  return found
}
