import type { ReadableTree } from '../layer/index.ts'
import { DirectoryHandles } from './directoryHandles.ts'
import { MergedTree } from './mergedTree.ts'
import type { Branch } from './branch.ts'
import { OverlayBranch } from './overlayBranch.ts'
import { TreeBranch } from './treeBranch.ts'

/**
 * What overlayfs would show of a stack of layer directories in its own form, without a mount: a container
 * layer on top of those of its image, for one. Memory and open files are bounded whatever the tree's size.
 *
 * @param layers directories, or trees that show whiteouts and opaque directories as these do, top first; they have to
 *   keep still while the union is used, which closes the trees
 * @throws StrataError when one of them cannot be opened
 */
export function overlayUnion(layers: readonly (string | ReadableTree)[]): ReadableTree {
  const handles = new DirectoryHandles()
  const branches: Branch[] = []
  try {
    for (const layer of layers) branches.push(typeof layer === 'string' ? new OverlayBranch(layer, handles) : new TreeBranch(layer, true))
  } catch (error) {
    for (const branch of branches) void branch.close()
    throw error
  }
  return new MergedTree(branches)
}
