import { type CallOptions, StrataError } from '../base/index.ts'
import type { ContentStore } from '../content/index.ts'
import type { LayerStore } from '../layers/index.ts'
import type { Descriptor, DiffId } from '../oci/index.ts'
import { type IndexedLayer, lazyUnion } from '../union/index.ts'
import { ImageFiles } from './imageFiles.ts'
import { type BlobRanges, remoteBlob, storedBlob } from './layerBlob.ts'
import { openTocLayer } from './tocLayer.ts'
import { openWholeLayer } from './wholeLayer.ts'

export interface ImageLayer {
  readonly diffId: DiffId
  /** What its manifest says of the layer; absent where that is not known. */
  readonly blob?: Descriptor
}

/** Where the layers of an image may be. */
export interface LayerPlaces {
  readonly layers: LayerStore
  readonly content: ContentStore
  /** Has the blobs that are not here; absent when nothing is fetched. */
  readonly repository?: BlobRanges
  /** A directory on the disk that layers may be put aside on. */
  readonly scratch: string
}

export interface OpenImageOptions extends CallOptions {
  /** Contents of files will be read, not only names: a layer that has to be fetched whole is put aside for that, as it is. */
  readonly readsContents: boolean
}

/**
 * Opens an image to look into it. Nothing is read yet: a layer is opened when no layer above it decides about what is
 * asked for. It is read where it is: in the layer store, or as a blob in the content store, or from the repository by its
 * table of contents; without one it is fetched whole. Nothing of it stays here.
 *
 * @param layers the base first
 */
export function openImageFiles(layers: readonly ImageLayer[], places: LayerPlaces, options: OpenImageOptions): ImageFiles {
  const kept = new AsyncDisposableStack()
  const opened = new Map<DiffId, Promise<IndexedLayer>>()
  const open = (layer: ImageLayer): Promise<IndexedLayer> => {
    // An image may have a layer twice.
    const known = opened.get(layer.diffId)
    if (known !== undefined) return known
    const opening = openLayer(layer, places, { ...options, kept })
    opened.set(layer.diffId, opening)
    return opening
  }
  const tree = lazyUnion(layers.toReversed().map(layer => () => open(layer)))
  return new ImageFiles(tree, () => kept.disposeAsync())
}

async function openLayer(
  layer: ImageLayer,
  places: LayerPlaces,
  { readsContents, kept, signal }: OpenImageOptions & { readonly kept: AsyncDisposableStack },
): Promise<IndexedLayer> {
  const { diffId } = layer
  const stored = places.layers.get(diffId)
  if (stored !== undefined) return { index: stored.index, open: (path, range) => places.layers.openFile(diffId, path, range) }
  const { blob } = layer
  const { content, repository, scratch } = places
  if (blob !== undefined && (await content.has(blob)))
    return openWholeLayer(storedBlob(content, blob, signal), { diffId, scratch, kept: undefined, signal })
  if (blob !== undefined && repository !== undefined) {
    const remote = remoteBlob(repository, blob, signal)
    const byTable = await openTocLayer(remote, diffId)
    return byTable ?? openWholeLayer(remote, { diffId, scratch, kept: readsContents ? kept : undefined, signal })
  }
  throw new StrataError('dataLoss', 'STRATA_LAYER_MISSING', `Cannot look into layer ${diffId}: it is gone`, {
    hint: 'Pull or load the image again, or look at what its registry has with --remote.',
  })
}
