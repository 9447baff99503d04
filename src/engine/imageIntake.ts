import { type ByteStream, type CallOptions, fileStream, mapConcurrently, streamOf, StrataError } from '../base/index.ts'
import type { ArchivedImage } from '../archive/index.ts'
import { changeConfig, composeImage, type ImageFacts, imageFacts, ImageUnpack, takeNewLayer, verifyLayer } from '../image/index.ts'
import type { Lease } from '../metadata/index.ts'
import {
  digestHex,
  familiarName,
  formatReference,
  type ImageConfig,
  layerCompression,
  parseDigest,
  parseReference,
  type Platform,
  type Reference,
  withDefaultTag,
  withTag,
} from '../oci/index.ts'
import type { Repository } from '../registry/index.ts'
import { openRootfs } from './rootfsSource.ts'
import { platformOf } from './hostPlatform.ts'
import type { ImportOptions, LoadedImage, LoadOptions, PulledImage, PullOptions } from './images.ts'
import type { RegistryAccess } from './registryAccess.ts'
import type { Stores } from './stores.ts'

/** Makes an image of one layer from a root filesystem's tar. */
export async function importImage(
  stores: Stores,
  source: string | ByteStream,
  options: ImportOptions & CallOptions,
): Promise<{ readonly imageId: string }> {
  const name = options.reference === undefined ? undefined : withDefaultTag(parseReference(options.reference))
  const platform = platformOf(options.platform)
  const config = changeConfig({}, options.changes ?? [])
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

/** Loads the images of an archive: all of them, or when one is bad none. */
export async function loadImages(
  stores: Stores,
  source: string | ByteStream,
  options: LoadOptions & CallOptions,
): Promise<readonly LoadedImage[]> {
  const { plainArchive, readArchive } = await import('../archive/index.ts')
  await using plain = await plainArchive(source, stores.scratchDirectory())
  const images = await readArchive(plain, platformOf(options.platform))
  await using lease = stores.leases.create()
  const taken: { readonly facts: ImageFacts; readonly names: readonly Reference[] }[] = []
  for (const image of images) taken.push({ facts: await takeArchived(stores, image, { ...options, lease }), names: image.names })
  stores.changeImages(() => {
    for (const { facts, names } of taken) {
      stores.images.put(facts)
      for (const name of names) stores.images.setName(name, facts.manifest.digest)
    }
  })
  return taken.flatMap(({ facts, names }): readonly LoadedImage[] =>
    names.length === 0
      ? [{ imageId: facts.id, name: undefined }]
      : names.map(name => ({ imageId: facts.id, name: familiarName(withDefaultTag(name)) })),
  )
}

/** The workers take as many layers at once as there are cores; a few more wait ready. */
const LAYERS_AT_ONCE = 4

async function takeArchived(stores: Stores, image: ArchivedImage, options: CallOptions & { readonly lease: Lease }): Promise<ImageFacts> {
  const { content, layers } = stores
  const { lease, signal, onProgress } = options
  const diffIds = image.config.rootfs.diff_ids
  const unpackOptions = { lease, ...(signal === undefined ? {} : { signal }) }
  await using unpack = ImageUnpack.begin(diffIds, { layers, snapshots: await stores.snapshots() }, unpackOptions)
  await mapConcurrently(unpack.missing, LAYERS_AT_ONCE, async position => {
    const { diffId, extent } = image.layers[position]!
    const id = digestHex(parseDigest(diffId)).slice(0, 12)
    const total = extent.end - extent.start
    let current = 0
    await unpack.add(position, extent, bytes => onProgress?.({ id, status: 'Loading layer', current: (current += bytes), total }))
    onProgress?.({ id, status: 'Loading layer', current: total, total })
  })
  const { contentBytes } = await unpack.commit()
  if (image.manifest === undefined) return await composeImage(image.config, image.configBytes, { content, layers, lease })
  // The blobs come as they are, so that manifests keep their digests; plain tars are derived from the layers.
  for (const [position, { descriptor, extent }] of image.layers.entries()) {
    if (descriptor === undefined) continue
    const diffId = diffIds[position]!
    if (layerCompression(descriptor.mediaType) === 'none' && descriptor.digest === parseDigest(diffId))
      content.recordDerivable(descriptor, diffId, { lease })
    else {
      if (!unpack.missing.includes(position)) await verifyLayer(fileStream(extent.path, extent), diffId)
      await content.put(descriptor, fileStream(extent.path, extent), { lease })
      content.setUncompressed(descriptor, diffId)
    }
  }
  const { descriptor, bytes } = image.manifest
  const config = {
    mediaType: configTypeOf(bytes),
    digest: parseDigest(imageFacts(image.config, image.configBytes, { manifest: descriptor, contentBytes }).id),
    size: image.configBytes.length,
  }
  await content.put(config, streamOf(image.configBytes), { lease })
  await content.put(descriptor, streamOf(bytes), { lease })
  return imageFacts(image.config, image.configBytes, { manifest: descriptor, contentBytes })
}

const configTypeOf = (manifestBytes: Buffer): string =>
  (JSON.parse(manifestBytes.toString()) as { config: { mediaType: string } }).config.mediaType

/** Pulls one tag or digest, or every tag of a repository. */
export async function pullImages(
  stores: Stores,
  text: string,
  options: PullOptions & CallOptions & RegistryAccess,
): Promise<readonly PulledImage[]> {
  const { aliasedReference, connectRepository } = await import('../registry/index.ts')
  const asked = (await aliasedReference(text, options)) ?? parseReference(text)
  if (options.allTags === true && (asked.tag !== undefined || asked.digest !== undefined)) {
    throw new StrataError('invalidArgument', 'STRATA_TAG_WITH_ALL_TAGS', `Cannot pull all tags of "${text}": it names one already`)
  }
  const { onProgress } = options
  await using repository = await connectRepository(asked, { ...options, access: 'pull' })
  const tags = options.allTags === true ? await Array.fromAsync(repository.tags(options)) : undefined
  const references = tags === undefined ? [withDefaultTag(asked)] : tags.map(tag => withTag(asked, tag))
  const platform: Platform = platformOf(options.platform)
  const pulled: PulledImage[] = []
  for (const reference of references) {
    if (options.allTags !== true && asked.tag === undefined && asked.digest === undefined)
      onProgress?.({ id: '', status: 'Using default tag: latest' })
    pulled.push(await repository.withoutLiars(() => pullOne(stores, reference, { ...options, platform, repository })))
  }
  return pulled
}

/** As docker writes it: `library/debian`, `team/app`. */
const pathOf = (reference: Reference): string => reference.path

async function pullOne(
  stores: Stores,
  reference: Reference,
  options: CallOptions & { readonly platform: Platform; readonly repository: Repository },
): Promise<PulledImage> {
  const { pullImage, resolveRemoteImage } = await import('../transfer/index.ts')
  const image = await resolveRemoteImage(options.repository, reference, options)
  const { signal, onProgress } = options
  onProgress?.({
    id: '',
    status: `${reference.digest === undefined ? reference.tag : familiarName(reference)}: Pulling from ${pathOf(reference)}`,
  })
  // Of an image that is here docker names no layers.
  const isHere = stores.images.get(image.remote.descriptor.digest) !== undefined
  const report: CallOptions['onProgress'] = progress => {
    if (!isHere || progress.status !== 'Already exists') onProgress?.(progress)
  }
  await using lease = stores.leases.create()
  const facts = await pullImage(
    options.repository,
    image,
    { content: stores.content, layers: stores.layers, snapshots: await stores.snapshots() },
    { lease, onProgress: report, ...(signal === undefined ? {} : { signal }) },
  )
  onProgress?.({ id: '', status: `Digest: ${image.rootDigest}` })
  const known = stores.images.named(reference)?.manifest.digest === facts.manifest.digest
  const names = reference.digest === undefined ? [reference] : []
  stores.recordImage(facts, names, { reference, digest: image.rootDigest })
  return {
    reference: formatReference(reference),
    name: familiarName(reference),
    manifestDigest: image.rootDigest,
    imageId: facts.id,
    newer: !known,
  }
}
