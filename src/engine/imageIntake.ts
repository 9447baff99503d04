import { type ByteStream, type CallOptions, isStrataError, type Progress, StrataError } from '../base/index.ts'
import type { ArchivedRoot, ArchiveSource } from '../archive/index.ts'
import { changeConfig, composeImage, takeNewLayer } from '../image/index.ts'
import type { Lease } from '../metadata/index.ts'
import {
  checkIsImage,
  familiarName,
  formatPlatform,
  type ImageConfig,
  isIndex,
  isManifest,
  parseManifest,
  parseReference,
  withDefaultTag,
} from '../oci/index.ts'
import { takeArchivedGraph } from './archivedGraph.ts'
import { bestForHost } from './bestForHost.ts'
import { platformOf } from './hostPlatform.ts'
import { checkArchived, checkIntake } from './intakeTrust.ts'
import type { ImportOptions, LoadedImage, LoadOptions } from './images.ts'
import { readRoot } from './readRoot.ts'
import { openRootfs } from './rootfsSource.ts'
import type { PolicyDirectories } from './policyFile.ts'
import type { Stores } from './stores.ts'
import { recordTaken, type TakenRoot } from './takenRoot.ts'

/** Makes an image of one layer from a root filesystem's tar. */
export async function importImage(
  stores: Stores,
  source: string | ByteStream,
  options: ImportOptions & CallOptions & PolicyDirectories,
): Promise<{ readonly imageId: string }> {
  const name = options.reference === undefined ? undefined : withDefaultTag(parseReference(options.reference))
  const platform = platformOf(options.platform)
  const config = changeConfig({}, options.changes ?? [])
  await checkIntake(options, { name: typeof source === 'string' ? source : '-', place: { transport: 'tarball' } })
  await using lease = stores.leases.create()
  const { bytes, total } = typeof source === 'string' ? await openRootfs(source, options.signal) : { bytes: source, total: undefined }
  const layer = await takeNewLayer(bytes, [], {
    onRead: reporter(total, options),
    layers: stores.layers,
    snapshots: await stores.snapshots(),
    lease,
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  })
  const created = new Date().toISOString()
  const image: ImageConfig = {
    created,
    architecture: platform.architecture,
    ...(platform.variant === undefined ? {} : { variant: platform.variant }),
    os: platform.os,
    config,
    rootfs: { type: 'layers', diff_ids: [layer.diffId] },
    history: [{ created, comment: options.message ?? `Imported from ${typeof source === 'string' ? source : '-'}` }],
  }
  const facts = await composeImage(image, Buffer.from(JSON.stringify(image)), { content: stores.content, layers: stores.layers, lease })
  stores.recordImage(facts, name === undefined ? [] : [name])
  return { imageId: facts.id }
}

function reporter(total: number | undefined, { onProgress }: CallOptions): (bytes: number) => void {
  let current = 0
  return bytes => {
    current += bytes
    onProgress?.({ id: 'rootfs', status: 'Importing', current, ...(total === undefined ? {} : { total }) })
  }
}

/** Loads the images of an archive or directory: all of them, or when one is bad none. */
export async function loadImages(
  stores: Stores,
  source: string | ByteStream,
  options: LoadOptions & CallOptions & PolicyDirectories,
): Promise<readonly LoadedImage[]> {
  const { openImages, rootsToLoad } = await import('../archive/index.ts')
  await using archive = await openImages(source, stores.scratchDirectory(), options)
  const platform = platformOf(options.platform)
  const roots = rootsToLoad(archive, platform)
  const path = typeof source === 'string' ? source : undefined
  for (const root of roots) {
    options.signal?.throwIfAborted()
    await checkArchived(options, archive, { root, path })
  }
  await using lease = stores.leases.create()
  const taken: TakenRoot[] = []
  for (const same of Map.groupBy(roots, ({ descriptor }) => descriptor.digest).values()) {
    options.signal?.throwIfAborted()
    const root = { ...same[0]!, names: same.flatMap(({ names }) => names) }
    const found = await takeArchived(stores, { archive, root }, { ...options, lease })
    if (found !== undefined) taken.push({ ...found, names: root.names })
  }
  if (taken.length === 0 && archive.roots.length > 0) {
    throw new StrataError(
      'notFound',
      'STRATA_NO_SUCH_PLATFORM',
      `Cannot read ${archive.title}: it has no image for ${formatPlatform(platform)}`,
      { hint: 'Choose another platform with --platform.' },
    )
  }
  recordTaken(stores, taken)
  return taken.flatMap(({ root, names, images }): readonly LoadedImage[] => {
    const imageId = bestForHost(images)?.facts.id ?? root.digest
    return names.length === 0 ? [{ imageId, name: undefined }] : names.map(name => ({ imageId, name: familiarName(withDefaultTag(name)) }))
  })
}

/**
 * Takes one root of an archive: an index with all its images where several are there and none is asked for, else the image for
 * the platform. Undefined where an index has none for it.
 */
async function takeArchived(
  stores: Stores,
  { archive, root: { descriptor, names } }: { readonly archive: ArchiveSource; readonly root: ArchivedRoot },
  options: LoadOptions & CallOptions & { readonly lease: Lease },
): Promise<Omit<TakenRoot, 'names'> | undefined> {
  const { isWholeIndex } = await import('../archive/index.ts')
  const { choosePlatformImage } = await import('../transfer/index.ts')
  const { signal, onProgress, lease } = options
  const call = {
    lease,
    ...(signal === undefined ? {} : { signal }),
    // docker tells of bytes alone, and of what is said about the whole.
    onProgress: (progress: Progress) => {
      if (progress.id === '' || progress.current !== undefined) onProgress?.(progress)
    },
  }
  const named = await readRoot(archive, descriptor)
  const isWhole = options.platform === undefined && (await isWholeIndex(archive, descriptor, call))
  try {
    const platform = platformOf(options.platform)
    const chosen = isWhole ? named : await choosePlatformImage(archive, named, { ...call, platform })
    // Nothing would keep an artifact without a name.
    if (names.length === 0 && isManifest(chosen.descriptor.mediaType))
      checkIsImage(parseManifest(chosen.bytes, chosen.descriptor.mediaType))
    return await takeArchivedGraph(stores, { archive, root: chosen }, { ...call, platforms: 'all' })
  } catch (error) {
    if (isIndex(descriptor.mediaType) && isStrataError(error) && error.code === 'STRATA_NO_SUCH_PLATFORM') return undefined
    throw error
  }
}
