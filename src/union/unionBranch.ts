import type { ReadableTree } from '../layer/index.ts'
import type { Branch } from './branch.ts'
import { type IndexedLayer, LayerBranch } from './layerBranch.ts'
import { MergedTree } from './mergedTree.ts'
import { TreeBranch } from './treeBranch.ts'
import type { WritableTree } from './writableTree.ts'

/**
 * A branch of a union. Deletions stand in trees as overlayfs has them: 0:0 devices and the xattr of opaque directories.
 *
 * - `ro`: what is in it shows, and marks of deletions mean nothing (they are not shown either). A plain tree.
 * - `ro+wh`: it also hides what is below. A layer.
 * - `rw`: as `ro+wh`, and changes go here. Only the first branch can be it.
 */
export type UnionBranch =
  | { readonly tree: ReadableTree; readonly access: 'ro' | 'ro+wh' }
  | { readonly layer: IndexedLayer; readonly access: 'ro+wh' }
  | { readonly tree: WritableTree; readonly access: 'rw' }

/** @param branches top first */
export function openBranches(branches: readonly UnionBranch[]): readonly Branch[] {
  const opened: Branch[] = []
  for (const [at, branch] of branches.entries()) {
    const below = (): MergedTree => new MergedTree(opened.slice(at + 1))
    opened.push('layer' in branch ? new LayerBranch(branch.layer, below) : new TreeBranch(branch.tree, branch.access !== 'ro'))
  }
  return opened
}

/**
 * What a stack of layers shows, straight from their indexes: an image that was not unpacked can be listed, exported
 * and copied from.
 *
 * @param layers top first
 * Methods reject with `invalidArgument` (STRATA_HARD_LINK_TARGET) when a layer links to a file that is nowhere.
 */
export function layerUnion(layers: readonly IndexedLayer[]): ReadableTree {
  return new MergedTree(openBranches(layers.map(layer => ({ layer, access: 'ro+wh' }))))
}
