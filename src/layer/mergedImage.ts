import type { ErofsDirectory, ErofsExtent, ErofsNode } from '../erofs/index.ts'
import { ImageDirectory, nodeOf } from './imageModel.ts'
import { childPath } from './pathOrder.ts'
import type { ReadableTree, TreeNode } from './tree.ts'

/**
 * What a tree shows, as the tree of an EROFS image.
 *
 * @param locate where the content of a file lies, in devices of the image
 */
export async function mergedImageTree(
  tree: ReadableTree,
  locate: (path: string, node: TreeNode) => Promise<readonly ErofsExtent[]>,
): Promise<ErofsDirectory> {
  const linked = new Map<string, ErofsNode>()
  const root = new ImageDirectory((await tree.lstat(''))!, false)
  const pending: { readonly path: string; readonly directory: ImageDirectory }[] = [{ path: '', directory: root }]
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    for (const name of await tree.list(next.path)) {
      const path = childPath(next.path, name)
      const node = (await tree.lstat(path))!
      let made = node.type === 'directory' ? undefined : linked.get(node.inode)
      if (made === undefined) {
        made = nodeOf(node, node.type === 'file' && node.size > 0 ? await locate(path, node) : [])
        if (node.links > 1) linked.set(node.inode, made)
      }
      next.directory.children.set(name, made)
      if (made instanceof ImageDirectory) pending.push({ path, directory: made })
    }
  }
  return root
}
