import type { ByteStream } from '../base/index.ts'
import type { BlobSource } from '../content/index.ts'
import {
  ANNOTATIONS,
  blobPath,
  type Descriptor,
  type DiffId,
  familiarName,
  formatReference,
  IMAGE_LAYOUT,
  IMAGE_LAYOUT_VERSION,
  type ImageManifest,
  MEDIA_TYPES,
  type Reference,
} from '../oci/index.ts'
import { encodeTarHeader, TAR_END, type TarHeader, tarPadding } from '../tar/index.ts'
import { DOCKER_MANIFEST } from './dockerArchive.ts'
import { LEGACY_REPOSITORIES } from './legacyArchive.ts'

/** An image that goes into an archive, with the names that it shall have there. */
export interface ImageToSave {
  readonly names: readonly Reference[]
  readonly descriptor: Descriptor
  readonly manifest: ImageManifest
  readonly diffIds: readonly DiffId[]
}

/**
 * An archive of images, each blob once, as it is in the store: nothing is compressed or inflated,
 * and manifests keep their digests. The same images give the same bytes.
 *
 * @param format `docker`: an OCI layout that also has docker's own files, as Docker writes since 25; `oci`: the layout alone
 */
export async function* writeArchive(
  images: readonly ImageToSave[],
  blobs: BlobSource,
  format: 'docker' | 'oci',
): AsyncGenerator<Uint8Array> {
  yield* directory('blobs/')
  yield* directory('blobs/sha256/')
  for (const blob of blobsOf(images)) yield* member(blobPath(blob.digest), blob.size, await blobs.open(blob))
  const files: [string, unknown][] = [
    [IMAGE_LAYOUT.index, indexOf(images)],
    [IMAGE_LAYOUT.header, { imageLayoutVersion: IMAGE_LAYOUT_VERSION }],
  ]
  if (format === 'docker') {
    files.push([DOCKER_MANIFEST, images.map(dockerItem)])
    files.push([LEGACY_REPOSITORIES, legacyRepositories(images)])
  }
  for (const [name, value] of files.sort(([a], [b]) => (a < b ? -1 : 1))) {
    const bytes = Buffer.from(JSON.stringify(value))
    yield* member(name, bytes.length, [bytes])
  }
  yield TAR_END
}

/** Every blob once, in the order of the digests. */
function blobsOf(images: readonly ImageToSave[]): readonly Descriptor[] {
  const all = images.flatMap(({ descriptor, manifest }) => [descriptor, manifest.config, ...manifest.layers])
  const unique = new Map(all.map(blob => [blob.digest, blob]))
  return [...unique.values()].sort((a, b) => (a.digest < b.digest ? -1 : 1))
}

function indexOf(images: readonly ImageToSave[]): object {
  return {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.index,
    manifests: images.flatMap(({ names, descriptor }) => {
      if (names.length === 0) return [descriptor]
      return names.map(name => ({
        ...descriptor,
        annotations: { [ANNOTATIONS.containerdName]: formatReference(name), [ANNOTATIONS.refName]: name.tag ?? '' },
      }))
    }),
  }
}

function dockerItem({ names, manifest, diffIds }: ImageToSave): object {
  return {
    Config: blobPath(manifest.config.digest),
    RepoTags: names.length === 0 ? null : names.map(familiarName),
    Layers: manifest.layers.map(layer => blobPath(layer.digest)),
    LayerSources: Object.fromEntries(
      manifest.layers.map(({ mediaType, size, digest }, index) => [diffIds[index], { mediaType, size, digest }]),
    ),
  }
}

function legacyRepositories(images: readonly ImageToSave[]): object {
  const repositories: Record<string, Record<string, string>> = {}
  for (const { names, manifest } of images) {
    for (const name of names) {
      const repository = familiarName({ domain: name.domain, path: name.path })
      ;(repositories[repository] ??= {})[name.tag ?? 'latest'] = manifest.layers.at(-1)?.digest.split(':')[1] ?? ''
    }
  }
  return repositories
}

const HEADER = {
  linkPath: '',
  uid: 0,
  gid: 0,
  userName: '',
  groupName: '',
  modifiedAt: { seconds: 0, nanoseconds: 0 },
  xattrs: new Map<string, Uint8Array>(),
} satisfies Partial<TarHeader>

function* directory(path: string): Generator<Uint8Array> {
  yield encodeTarHeader({ ...HEADER, type: 'directory', path, mode: 0o755, size: 0 })
}

async function* member(path: string, size: number, bytes: ByteStream | Iterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield encodeTarHeader({ ...HEADER, type: 'file', path, mode: 0o644, size })
  yield* bytes
  yield tarPadding(size)
}
