import type { ErofsDirectory, ErofsNode } from '../erofs/index.ts'
import { ImageDirectory, nodeOf, WHITEOUT } from './imageModel.ts'
import { extentsInTar } from './layerImage.ts'
import { type Inode, LayerDirectory, type LayerModel } from './layerModel.ts'

/**
 * A finished model as the tree of an EROFS image, its contents in the first device: what `layerImageTree` makes of its
 * index, but for what depends on the layers below, which is left to `completeImage`.
 */
export function modelImageTree(model: LayerModel): ErofsDirectory {
  const nodes = new Map<Inode, ErofsNode>()
  const root = directoryOf(model.root)
  const pending: { readonly from: LayerDirectory; readonly to: ImageDirectory }[] = [{ from: model.root, to: root }]
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    for (const [name, entry] of next.from.children) {
      const { inode } = entry
      if (entry instanceof LayerDirectory) {
        const directory = directoryOf(entry)
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

function directoryOf(from: LayerDirectory): ImageDirectory {
  const { mode, uid, gid, modifiedAt, xattrs } = from.inode
  const directory = new ImageDirectory({ mode, uid, gid, modifiedAt, xattrs, implied: from.implied }, from.opaque)
  for (const name of from.whiteouts ?? []) directory.children.set(name, WHITEOUT)
  return directory
}
