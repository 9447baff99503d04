import { type CallOptions, fileStream } from '../base/index.ts'
import { decompress, detectCompression } from '../compression/index.ts'
import { plainManifest } from '../image/index.ts'
import { describeBytes, type DiffId, type Digest, MEDIA_TYPES, parseDigest, type Reference } from '../oci/index.ts'
import type { Extent } from './imageFiles.ts'
import type { ArchivedRoot, BlobPlace } from './archiveSource.ts'

/** An image as a docker-archive has it: without a manifest, its layers under any names. */
export interface DockerImage {
  readonly names: readonly Reference[]
  readonly configBytes: Buffer
  /** Base first, as many as the config has DiffIds; each a tar that may be compressed. */
  readonly layers: readonly { readonly diffId: DiffId; readonly extent: Extent }[]
}

/** Images of a docker-archive, with the manifests that they imply. */
export interface ImpliedImages {
  readonly roots: readonly ArchivedRoot[]
  readonly places: ReadonlyMap<Digest, BlobPlace>
}

/**
 * The manifests that a docker-archive has nowhere: layers are plain tars, whose digests the config knows. They are those
 * that the store gives images of the same configs and layers.
 */
export async function impliedImages(images: readonly DockerImage[], options: CallOptions): Promise<ImpliedImages> {
  const places = new Map<Digest, BlobPlace>()
  const tars = new Map<number, PlainTar>()
  const roots: ArchivedRoot[] = []
  for (const [position, { names, configBytes, layers }] of images.entries()) {
    const plain = []
    for (const { diffId, extent } of layers) {
      const tar = tars.get(extent.start) ?? (await plainTar(extent, options))
      tars.set(extent.start, tar)
      places.set(parseDigest(diffId), { extent, isPacked: tar.isPacked })
      plain.push({ diffId, tarBytes: tar.bytes })
    }
    const config = describeBytes(MEDIA_TYPES.config, configBytes)
    const bytes = Buffer.from(JSON.stringify(plainManifest(config, plain)))
    const descriptor = describeBytes(MEDIA_TYPES.manifest, bytes)
    places.set(config.digest, { bytes: configBytes }).set(descriptor.digest, { bytes })
    roots.push({ descriptor, names, position })
  }
  return { roots, places }
}

interface PlainTar {
  readonly isPacked: boolean
  readonly bytes: number
}

/** How large a layer is as a plain tar; only a compressed one has to be read for that. */
async function plainTar(extent: Extent, { signal }: CallOptions): Promise<PlainTar> {
  const { path, start, end } = extent
  for await (const chunk of fileStream(path, { start, end: Math.min(end, start + MAGIC_BYTES) }))
    if (detectCompression(chunk) === 'none') return { isPacked: false, bytes: end - start }
  let bytes = 0
  for await (const chunk of decompress(fileStream(path, extent))) {
    signal?.throwIfAborted()
    bytes += chunk.length
  }
  return { isPacked: true, bytes }
}

/** More than the magic number of any compression. */
const MAGIC_BYTES = 64
