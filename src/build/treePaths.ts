import { StrataError } from '../base/index.ts'
import type { ReadableTree, TreeNode } from '../layer/index.ts'

/** As the kernel's limit for one path (MAXSYMLINKS). */
const SYMLINKS = 40

export interface Resolved {
  /** Without links on the way; '' is the root. */
  readonly path: string
  /** Undefined where nothing is there. */
  readonly node: TreeNode | undefined
}

/**
 * Follows the links in a path of a tree, never above its root, as a process does whose root it is. What is not there is taken as a
 * name.
 *
 * @param path with or without a leading slash
 * @param options.last whether a link at the end is followed, too
 * Rejects with `invalidArgument` (STRATA_SYMLINK_LOOP) past 40 links.
 */
export async function resolvePath(tree: ReadableTree, path: string, options: { readonly last: boolean }): Promise<Resolved> {
  const pending = path.split('/').toReversed()
  const done: string[] = []
  let symlinks = 0
  let node = await tree.lstat('')
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    if (name === '' || name === '.') continue
    if (name === '..') {
      done.pop()
      node = await tree.lstat(done.join('/'))
      continue
    }
    done.push(name)
    node = await tree.lstat(done.join('/'))
    const isLast = pending.every(rest => rest === '' || rest === '.')
    if (node?.type !== 'symlink' || (isLast && !options.last)) continue
    symlinks += 1
    if (symlinks > SYMLINKS) {
      throw new StrataError('invalidArgument', 'STRATA_SYMLINK_LOOP', `Cannot find "${path}": it leads through too many symlinks`)
    }
    if (node.linkTarget!.startsWith('/')) done.length = 0
    else done.pop()
    pending.push(...node.linkTarget!.split('/').toReversed())
    node = await tree.lstat(done.join('/'))
  }
  return { path: done.join('/'), node }
}

export const joined = (directory: string, name: string): string => (directory === '' ? name : `${directory}/${name}`)
