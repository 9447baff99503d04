import type { ByteStream } from '../base/index.ts'
import type { ByteRange, TreeNode } from '../layer/index.ts'
import type { MergedTree } from './mergedTree.ts'
import { parentPath } from './path.ts'
import type { NodeKind, WritableTree } from './writableTree.ts'

/**
 * Brings what stands at a path into the writable branch, before its first change: with all attributes, xattrs and
 * times, and the directories above it. Of an inode with several names only this name comes up, so that from then on
 * it is another file than the rest. kernel overlayfs.rst, "Non-directories"
 *
 * @param merged what the writable branch, as number 0, shows with those below it
 * @param contentBytes how much of a file's content is wanted; the rest is about to be cut off
 */
export async function copyUp(
  merged: MergedTree,
  upper: WritableTree,
  { path, contentBytes = Infinity }: { readonly path: string; readonly contentBytes?: number },
): Promise<void> {
  const found = await merged.find(path)
  if (found === undefined || found.branch === 0) return
  const directory = parentPath(path)
  await copyUp(merged, upper, { path: directory })
  const { modifiedAt } = (await upper.lstat(directory))!
  const { mode, uid, gid, xattrs } = found.node
  await upper.create(path, {
    ...kindOf(found.node, { size: Math.min(found.node.size, contentBytes), open: merged.contentOf(path, found.branch) }),
    ...{ mode, uid, gid, xattrs, modifiedAt: found.node.modifiedAt },
  })
  // A copy is no change of the directory.
  await upper.setAttributes(directory, { modifiedAt })
  merged.forget(path)
}

function kindOf(node: TreeNode, content: { readonly size: number; open(range: ByteRange): ByteStream }): NodeKind {
  switch (node.type) {
    case 'file':
      return { type: 'file', content }
    case 'symlink':
      return { type: 'symlink', linkTarget: node.linkTarget! }
    case 'character':
    case 'block':
      return { type: node.type, device: node.device! }
    default:
      return { type: node.type }
  }
}
