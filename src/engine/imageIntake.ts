import { realpath } from 'node:fs/promises'
import { type ByteStream, type CallOptions, fileStream, mapConcurrently, streamOf } from '../base/index.ts'
import type { ArchivedImage } from '../archive/index.ts'
import { changeConfig, composeImage, type ImageFacts, imageFacts, ImageUnpack, takeNewLayer, verifyLayer } from '../image/index.ts'
import type { Lease } from '../metadata/index.ts'
import {
  digestHex,
  familiarName,
  type ImageConfig,
  layerCompression,
  parseDigest,
  parseReference,
  type Reference,
  withDefaultTag,
} from '../oci/index.ts'
import { openRootfs } from './rootfsSource.ts'
import { platformOf } from './hostPlatform.ts'
import type { ImportOptions, LoadedImage, LoadOptions } from './images.ts'
import { type PolicyDirectories, readPolicyFile } from './policyFile.ts'
import type { TrustQuestion } from './trust.ts'
import type { Stores } from './stores.ts'

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

/** Loads the images of an archive: all of them, or when one is bad none. */
export async function loadImages(
  stores: Stores,
  source: string | ByteStream,
  options: LoadOptions & CallOptions & PolicyDirectories,
): Promise<readonly LoadedImage[]> {
  const { plainArchive, readArchive } = await import('../archive/index.ts')
  await using plain = await plainArchive(source, stores.scratchDirectory())
  const images = await readArchive(plain, platformOf(options.platform))
  const path = typeof source === 'string' ? await realpath(source) : ''
  for (const { names, manifest } of images) {
    const name = names[0] === undefined ? plain.name : familiarName(names[0])
    await checkIntake(options, {
      name,
      place: manifest === undefined ? { transport: 'docker-archive' } : { transport: 'oci-archive', path },
    })
  }
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

/** Asks the policy about what comes without signatures. */
async function checkIntake(directories: PolicyDirectories, asked: Pick<TrustQuestion, 'name' | 'place'>): Promise<void> {
  const policy = await readPolicyFile(directories)
  if (policy === undefined) return
  const { checkTrust, UNSIGNED } = await import('./trust.ts')
  await checkTrust(policy, { ...asked, ...UNSIGNED })
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
