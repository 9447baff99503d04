import type { ErofsDirectory, ErofsNode } from '../erofs/index.ts'
import { ImageDirectory, nodeOf } from './imageModel.ts'
import { extentsInTar } from './layerImage.ts'
import { type Inode, LayerDirectory, type LayerModel } from './layerModel.ts'

/**
 * A finished model as the tree of an EROFS image, its contents in the first device: for a layer in which nothing
 * depends on the layers below, what `layerImageTree` makes of its index.
 */
export function modelImageTree(model: LayerModel): ErofsDirectory {
  const nodes = new Map<Inode, ErofsNode>()
  const root = new ImageDirectory(model.root.inode, false)
  const pending: { readonly from: LayerDirectory; readonly to: ImageDirectory }[] = [{ from: model.root, to: root }]
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    for (const [name, entry] of next.from.children) {
      const { inode } = entry
      if (entry instanceof LayerDirectory) {
        const directory = new ImageDirectory(inode, entry.opaque)
        next.to.children.set(name, directory)
        pending.push({ from: entry, to: directory })
        continue
      }
      let node = inode.names > 1 ? nodes.get(inode) : undefined
      if (node === undefined) {
        node = nodeOf(inode, inode.size === 0 ? [] : extentsInTar(inode, 0))
        if (inode.names > 1) nodes.set(inode, node)
      }
      next.to.children.set(name, node)
    }
  }
  return root
}
