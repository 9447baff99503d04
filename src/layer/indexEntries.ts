import type { DiffId } from '../oci/index.ts'
import type { TarEntry } from '../tar/index.ts'
import type { LayerIndex } from './entry.ts'
import { decodeLayerIndex } from './layerIndex.ts'
import { encodeLayerIndex } from './layerIndexEncode.ts'
import { LayerModel } from './layerModel.ts'

/**
 * The index of a layer whose entries are known and whose tar is not: they mean what they would mean in a tar. Nothing is
 * verified; `dataOffset` of the nodes is what the entries say.
 *
 * @param limit names of the tree, implied directories included
 * @throws StrataError as `indexLayer` does for entries that no layer can have
 */
export function indexEntries(
  entries: Iterable<TarEntry>,
  { diffId, limit }: { readonly diffId: DiffId; readonly limit: number },
): LayerIndex {
  const model = new LayerModel(limit)
  for (const entry of entries) model.place(entry)
  model.finish()
  return decodeLayerIndex(Buffer.concat(encodeLayerIndex(model, { diffId, tarBytes: 0 }).parts))
}
