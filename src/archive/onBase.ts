import { type CallOptions, readAtMost } from '../base/index.ts'
import type { DiskContentStore } from '../content/index.ts'
import { plainLayer } from '../image/index.ts'
import type { LayerStore } from '../layers/index.ts'
import type { Lease } from '../metadata/index.ts'
import { type Descriptor, type DiffId, type Digest, isImageManifest, LIMITS, parseDigest, parseImageConfig } from '../oci/index.ts'
import { compressedType, copyGraph, documentSource, type GraphRoot, type ImageSource } from '../transfer/index.ts'
import type { ArchiveSource } from './archiveSource.ts'
import { readGraph } from './readGraph.ts'

export interface BaseStores {
  readonly content: DiskContentStore
  readonly layers: LayerStore
  /** Holds what of the base is used. */
  readonly lease: Lease
}

/** A graph whose blobs come from an archive and from the base that the archive counts on. */
export interface GraphOnBase {
  readonly source: ImageSource
  readonly root: GraphRoot
}

/**
 * Puts an archive of what is new together with the base that is here. A layer that was left out counts as here when the store has
 * it in any form: as the very blob, or as the layer, of which the plain tar can be made but no compressed blob. Then the
 * manifest names the plain tar in its place, and the image is the same under another digest.
 *
 * Rejects with `notFound` (STRATA_BASE_MISSING) when the store lacks a layer.
 */
export async function onBase(archive: ArchiveSource, root: GraphRoot, stores: BaseStores, options: CallOptions): Promise<GraphOnBase> {
  const { since } = archive
  if (since === undefined) return { source: archive, root }
  const diffIds = await layersBelow(archive, root.descriptor, options)
  const documents = new Map<Digest, Buffer>()
  const source: ImageSource = {
    async open(target, opening) {
      const document = documents.get(target.digest)
      if (document !== undefined) return documentSource(document).open(target, opening)
      if (archive.has(target)) return archive.open(target, opening)
      const diffId = diffIds.get(target.digest)
      const isKept = diffId === undefined || (await stores.content.has(target))
      return isKept ? stores.content.open(target, opening) : stores.layers.openTar(diffId)
    },
    rangeOf: layer => archive.rangeOf(layer),
  }
  const formHere = async (layer: Descriptor): Promise<Descriptor> => {
    const diffId = diffIds.get(layer.digest)
    // Held first, looked for afterwards.
    stores.lease.add({ kind: 'blob', id: layer.digest }, ...(diffId === undefined ? [] : [{ kind: 'layer', id: diffId }]))
    const isThatLayer = diffId === undefined || stores.content.diffIdOf(layer.digest) === diffId
    if (isThatLayer && (await stores.content.has(layer))) return layer
    const stored = diffId === undefined ? undefined : stores.layers.get(diffId)
    if (stored === undefined) throw since.missing(archive.title)
    if (layer.digest === parseDigest(stored.diffId)) return layer
    const plain = { ...plainLayer(stored), mediaType: compressedType(layer.mediaType, 'none') }
    diffIds.set(plain.digest, stored.diffId)
    return plain
  }
  const sink = {
    async take(target: Descriptor, from: ImageSource): Promise<Descriptor> {
      if (since.absent.has(target.digest) && !archive.has(target)) return formHere(target)
      if (target.digest !== root.descriptor.digest && !archive.has(target))
        documents.set(target.digest, await readAtMost(await from.open(target), LIMITS.indexBytes))
      return target
    },
  }
  const composed = await copyGraph(archive, sink, root.descriptor, options)
  documents.set(composed.descriptor.digest, composed.bytes)
  return { source, root: composed }
}

/** The layers that the images below a root have, by the digests of their blobs. */
async function layersBelow(archive: ArchiveSource, root: Descriptor, options: CallOptions): Promise<Map<Digest, DiffId>> {
  const diffIds = new Map<Digest, DiffId>()
  for (const manifest of (await readGraph(archive, root, options)).manifests.filter(isImageManifest)) {
    const bytes = await readAtMost(await archive.open(manifest.config, options), LIMITS.configBytes, 'the image config')
    const { rootfs } = parseImageConfig(bytes)
    for (const [position, { digest }] of manifest.layers.entries()) {
      const diffId = rootfs.diff_ids[position]
      if (diffId !== undefined) diffIds.set(digest, diffId)
    }
  }
  return diffIds
}
