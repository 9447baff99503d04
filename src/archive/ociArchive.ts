import {
  ANNOTATIONS,
  blobPath,
  checkManifestAgainstConfig,
  choosePlatform,
  type Descriptor,
  type Digest,
  digestOf,
  enterIndex,
  formatPlatform,
  IMAGE_LAYOUT,
  isIndex,
  LIMITS,
  parseImageConfig,
  parseImageLayout,
  parseIndex,
  parseManifest,
  parseReference,
  type Platform,
  type Reference,
} from '../oci/index.ts'
import { isStrataError, StrataError } from '../base/index.ts'
import type { ArchiveFile } from './archiveFile.ts'
import type { ArchivedImage } from './archivedImage.ts'

/**
 * Reads the images of an OCI image layout in a tar. Of an index with several platforms the best for
 * `platform` is taken. image-spec image-layout.md
 */
export async function readOciArchive(archive: ArchiveFile, platform: Platform): Promise<readonly ArchivedImage[]> {
  parseImageLayout(await archive.read(IMAGE_LAYOUT.header, LIMITS.configBytes))
  const index = parseIndex(await archive.read(IMAGE_LAYOUT.index, LIMITS.indexBytes))
  const images: ArchivedImage[] = []
  for (const root of index.manifests) {
    const manifest = await choose(archive, root, platform, [])
    if (manifest !== undefined) images.push(await readImage(archive, manifest, nameOf(root)))
  }
  if (images.length === 0 && index.manifests.length > 0) {
    throw new StrataError(
      'notFound',
      'STRATA_NO_SUCH_PLATFORM',
      `Cannot read archive "${archive.name}": it has no image for ${formatPlatform(platform)}`,
      { hint: 'Choose another platform with --platform.' },
    )
  }
  return images
}

async function choose(
  archive: ArchiveFile,
  target: Descriptor,
  platform: Platform,
  ancestors: readonly Digest[],
): Promise<Descriptor | undefined> {
  if (!isIndex(target.mediaType)) return target
  const entered = enterIndex(ancestors, target.digest)
  const index = parseIndex(await readBlob(archive, target, LIMITS.indexBytes))
  const chosen = choosePlatform(index.manifests, platform)
  return chosen === undefined ? undefined : choose(archive, chosen, platform, entered)
}

async function readImage(archive: ArchiveFile, descriptor: Descriptor, name: Reference | undefined): Promise<ArchivedImage> {
  const bytes = await readBlob(archive, descriptor, LIMITS.manifestBytes)
  const manifest = parseManifest(bytes, descriptor.mediaType)
  const configBytes = await readBlob(archive, manifest.config, LIMITS.configBytes)
  const config = parseImageConfig(configBytes)
  checkManifestAgainstConfig(manifest, config)
  const layers = manifest.layers.map((layer, index) => ({
    diffId: config.rootfs.diff_ids[index]!,
    descriptor: layer,
    extent: archive.extent(blobPath(layer.digest)),
  }))
  return { names: name === undefined ? [] : [name], config, configBytes, manifest: { descriptor, bytes }, layers }
}

async function readBlob(archive: ArchiveFile, target: Descriptor, limit: number): Promise<Buffer> {
  const bytes = await archive.read(blobPath(target.digest), limit)
  if (bytes.length !== target.size || digestOf(bytes) !== target.digest) {
    throw new StrataError(
      'dataLoss',
      'STRATA_DIGEST_MISMATCH',
      `Cannot read archive "${archive.name}": "${blobPath(target.digest)}" is not what its digest says`,
    )
  }
  return bytes
}

/** The whole reference where a tool wrote one; a bare tag alone is no name, unless it reads as one with a tag. */
function nameOf(root: Descriptor): Reference | undefined {
  const whole = root.annotations?.[ANNOTATIONS.containerdName] ?? root.annotations?.[ANNOTATIONS.refName]
  if (whole === undefined) return undefined
  try {
    const reference = parseReference(whole)
    return reference.tag === undefined && reference.digest === undefined ? undefined : reference
  } catch (error) {
    if (isStrataError(error, 'invalidArgument')) return undefined
    throw error
  }
}
