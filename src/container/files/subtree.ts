import type { ReadableTree, TreeNode } from '../../layer/index.ts'

/**
 * A part of a tree as a tree of its own, in which it has the one name `name`; without a name, what
 * is in the directory lies in the root. Closing it closes nothing.
 *
 * @param path exactly, without a leading slash
 */
export function subtree(tree: ReadableTree, path: string, name?: string): ReadableTree {
  const below = (rest: string): string => (path === '' ? rest : rest === '' ? path : `${path}/${rest}`)
  const translate = (at: string): string => {
    if (name === undefined) return below(at)
    return at === name ? path : below(at.slice(name.length + 1))
  }
  return {
    lstat: (at): Promise<TreeNode | undefined> => tree.lstat(translate(at)),
    list: async at => (name !== undefined && at === '' ? [name] : tree.list(translate(at))),
    open: (at, range) => tree.open(translate(at), range),
    close: async () => undefined,
  }
}
