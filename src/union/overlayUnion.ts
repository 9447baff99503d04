import type { ReadableTree } from '../layer/index.ts'
import { DirectoryHandles } from './directoryHandles.ts'
import { MergedTree } from './mergedTree.ts'
import { OverlayBranch } from './overlayBranch.ts'

/**
 * What overlayfs would show of a stack of layer directories in its own form, without a mount: a container
 * layer on top of those of its image, for one. Memory and open files are bounded whatever the tree's size.
 *
 * @param directories top first; they have to keep still while the tree is used
 * @throws StrataError when one of them cannot be opened
 */
export function overlayUnion(directories: readonly string[]): ReadableTree {
  const handles = new DirectoryHandles()
  const branches: OverlayBranch[] = []
  try {
    for (const directory of directories) branches.push(new OverlayBranch(directory, handles))
  } catch (error) {
    for (const branch of branches) void branch.close()
    throw error
  }
  return new MergedTree(branches)
}
