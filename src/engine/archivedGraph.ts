import type { CallOptions } from '../base/index.ts'
import type { ArchiveSource } from '../archive/index.ts'
import type { Lease } from '../metadata/index.ts'
import type { Descriptor, Platform } from '../oci/index.ts'
import type { GraphRoot, TakenImage } from '../transfer/index.ts'
import type { Stores } from './stores.ts'

export interface ArchivedGraphOptions extends CallOptions {
  /** Holds what arrives until the caller has recorded it. */
  readonly lease: Lease
  /** Which images of an index are wanted. */
  readonly platforms: readonly Platform[] | 'all'
}

/** Brings a graph of an archive or directory into the stores, with what the archive leaves to a base that is here. */
export async function takeArchivedGraph(
  stores: Stores,
  graph: { readonly archive: ArchiveSource; readonly root: GraphRoot },
  options: ArchivedGraphOptions,
): Promise<{ readonly root: Descriptor; readonly images: readonly TakenImage[] }> {
  const { onBase } = await import('../archive/index.ts')
  const { takeGraph } = await import('../transfer/index.ts')
  const { content, layers } = stores
  const { source, root } = await onBase(graph.archive, graph.root, { content, layers, lease: options.lease }, options)
  if (root.descriptor.digest !== graph.root.descriptor.digest)
    options.onProgress?.({ id: '', status: `The base is here in another form: the image has the digest ${root.descriptor.digest}` })
  const images = await takeGraph(source, root, { content, layers, snapshots: await stores.snapshots() }, options)
  return { root: root.descriptor, images }
}
