import type { TreeNode } from './tree.ts'

/**
 * One difference between a tree and the one below it. image-spec layer.md, "Change Types".
 *
 * The directories above a changed path are changes themselves (`modify`), as docker prints them. A
 * deleted directory is one change; what was in it is not listed. A path that became another type of
 * thing is `modify`.
 */
export type Change =
  | { readonly kind: 'add' | 'modify'; readonly path: string; readonly node: TreeNode }
  | { readonly kind: 'delete'; readonly path: string }
