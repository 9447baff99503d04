import {
  ANNOTATIONS,
  blobPath,
  checkIsImage,
  checkManifestAgainstConfig,
  choosePlatform,
  type Descriptor,
  type Digest,
  digestOf,
  enterIndex,
  formatPlatform,
  IMAGE_LAYOUT,
  isAboutAnImage,
  isForeignLayer,
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
import type { ArchiveFile, Extent } from './archiveFile.ts'
import type { ArchivedImage } from './archivedImage.ts'
import { DOCKER_MANIFEST, readDockerNames } from './dockerArchive.ts'

/**
 * Reads the images of an OCI image layout in a tar. Of an index with several platforms the best for
 * `platform` is taken. image-spec image-layout.md
 */
export async function readOciArchive(archive: ArchiveFile, platform: Platform): Promise<readonly ArchivedImage[]> {
  parseImageLayout(await archive.read(IMAGE_LAYOUT.header, LIMITS.configBytes))
  const index = parseIndex(await archive.read(IMAGE_LAYOUT.index, LIMITS.indexBytes))
  const images: ArchivedImage[] = []
  for (const root of chooseRoots(index.manifests, platform)) {
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
  return archive.has(DOCKER_MANIFEST) ? namedByDocker(images, await readDockerNames(archive)) : images
}

/** What index.json leaves without a name has the one that docker's own list gives it, where an archive has both. */
function namedByDocker(images: readonly ArchivedImage[], byConfig: ReadonlyMap<string, readonly Reference[]>): readonly ArchivedImage[] {
  return images.map(image => {
    const names = byConfig.get(blobPath(digestOf(image.configBytes))) ?? []
    return image.names.length === 0 ? { ...image, names } : image
  })
}

/**
 * Which entries of index.json are meant. Tools that flatten an index put one image's platforms there side by side, with
 * what is said about them: of those that share a name, only the best for `platform`.
 */
function chooseRoots(roots: readonly Descriptor[], platform: Platform): readonly Descriptor[] {
  const images = roots.filter(root => !isAboutAnImage(root))
  const byName = Map.groupBy(images, wholeName)
  return images.filter(root => {
    if (root.platform === undefined) return true
    const named = byName.get(wholeName(root))!.filter(each => each.platform !== undefined)
    if (new Set(named.map(each => formatPlatform(each.platform!))).size < 2) return true
    const best = choosePlatform(named, platform)?.platform
    return best !== undefined && formatPlatform(best) === formatPlatform(root.platform)
  })
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
  checkIsImage(manifest)
  const configBytes = await readBlob(archive, manifest.config, LIMITS.configBytes)
  const config = parseImageConfig(configBytes)
  checkManifestAgainstConfig(manifest, config)
  const layers = manifest.layers.map((layer, index) => ({
    diffId: config.rootfs.diff_ids[index]!,
    descriptor: layer,
    extent: extentOf(archive, layer),
  }))
  return { names: name === undefined ? [] : [name], config, configBytes, manifest: { descriptor, bytes }, layers }
}

function extentOf(archive: ArchiveFile, layer: Descriptor): Extent {
  const name = blobPath(layer.digest)
  if (!archive.has(name) && isForeignLayer(layer.mediaType)) {
    throw new StrataError(
      'dataLoss',
      'STRATA_ARCHIVE_INCOMPLETE',
      `Cannot read archive "${archive.name}": layer ${layer.digest} may not be handed on, and is not in it`,
      { hint: `Whoever made the image gives it out at ${layer.urls?.join(', ') ?? 'a place of their own'}.` },
    )
  }
  return archive.extent(name)
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
  const whole = wholeName(root)
  if (whole === undefined) return undefined
  try {
    const reference = parseReference(whole)
    return reference.tag === undefined && reference.digest === undefined ? undefined : reference
  } catch (error) {
    if (isStrataError(error, 'invalidArgument')) return undefined
    throw error
  }
}

const wholeName = ({ annotations }: Descriptor): string | undefined =>
  annotations?.[ANNOTATIONS.containerdName] ?? annotations?.[ANNOTATIONS.refName]
