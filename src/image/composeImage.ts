import { streamOf } from '../base/index.ts'
import type { DiskContentStore } from '../content/index.ts'
import type { LayerStore } from '../layers/index.ts'
import type { Lease } from '../metadata/index.ts'
import {
  type Descriptor,
  describeBytes,
  type DiffId,
  type ImageConfig,
  type ImageId,
  type ImageManifest,
  MEDIA_TYPES,
  parseDigest,
} from '../oci/index.ts'
import { imageFacts } from './imageFacts.ts'
import type { ImageFacts } from './imageStore.ts'

export interface ComposeStores {
  readonly content: DiskContentStore
  readonly layers: LayerStore
}

/**
 * Makes an image of layers that the store has: writes its config and a manifest that names the layers
 * as plain tars, which nothing compresses until somebody wants them so.
 *
 * @param configBytes the JSON, byte for byte: the image id is its digest
 * @param options.lease holds the image's parts until the caller has recorded it
 */
export async function composeImage(
  config: ImageConfig,
  configBytes: Uint8Array,
  options: ComposeStores & { readonly lease: Lease; readonly parentId?: ImageId },
): Promise<ImageFacts> {
  const { content, layers, lease, parentId } = options
  const configDescriptor = describeBytes(MEDIA_TYPES.config, configBytes)
  await content.put(configDescriptor, streamOf(configBytes), { lease })
  const stored = config.rootfs.diff_ids.map(diffId => layers.get(diffId)!)
  for (const layer of stored) content.recordDerivable(plainLayer(layer), layer.diffId, { lease })
  const bytes = Buffer.from(JSON.stringify(plainManifest(configDescriptor, stored)))
  const descriptor = describeBytes(MEDIA_TYPES.manifest, bytes)
  await content.put(descriptor, streamOf(bytes), { lease })
  const contentBytes = stored.reduce((sum, layer) => sum + layer.contentBytes, 0)
  return imageFacts(config, configBytes, { manifest: descriptor, contentBytes, ...(parentId === undefined ? {} : { parentId }) })
}

/** A layer as far as its blob without compression is concerned. */
export interface PlainLayer {
  readonly diffId: DiffId
  /** Size of the plain layer tar. */
  readonly tarBytes: number
}

/** A layer's blob without compression has the DiffId itself as its digest. */
export function plainLayer({ diffId, tarBytes }: PlainLayer): Descriptor {
  return { mediaType: MEDIA_TYPES.layer, digest: parseDigest(diffId), size: tarBytes }
}

/** The manifest of an image whose layers are plain tars. */
export function plainManifest(config: Descriptor, layers: readonly PlainLayer[]): ImageManifest {
  return { schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, config, layers: layers.map(plainLayer) }
}
