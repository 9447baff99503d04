import { createHash } from 'node:crypto'
import type { ReadableTree, TreeNode } from '../layer/index.ts'
import type { FoundSource } from './sourcePaths.ts'
import { joined } from './treePaths.ts'

/**
 * What sources have in them, as one hash: names, types, modes, owners, xattrs and contents, but not times, which every
 * checkout changes.
 *
 * @param isExcluded as `copyFiles` takes it
 */
export async function digestSources(
  tree: ReadableTree,
  sources: readonly FoundSource[],
  isExcluded: (path: string) => boolean,
): Promise<string> {
  const all = createHash('sha256')
  for (const { path, name, written } of sources) {
    all.update(JSON.stringify(written))
    const isDirectory = (await tree.lstat(path))?.type === 'directory'
    const pending = isDirectory || !isExcluded(name) ? [''] : []
    for (let below = pending.pop(); below !== undefined; below = pending.pop()) {
      const at = below === '' ? path : joined(path, below)
      const node = await tree.lstat(at)
      if (node === undefined) continue
      all.update(JSON.stringify([below, ...factsOf(node), node.type === 'file' ? await hashOf(tree, at) : '']))
      if (node.type !== 'directory') continue
      const inside = below
      const names = (await tree.list(at)).map(each => joined(inside, each))
      pending.push(...names.filter(each => !isExcluded(each)).toReversed())
    }
  }
  return all.digest('hex')
}

function factsOf(node: TreeNode): readonly unknown[] {
  const { type, mode, uid, gid, size, linkTarget = '', device } = node
  const xattrs = [...node.xattrs].map(([key, value]) => `${key}=${Buffer.from(value).toString('hex')}`).toSorted()
  return [
    type,
    mode,
    uid,
    gid,
    type === 'file' ? size : 0,
    linkTarget,
    device === undefined ? '' : `${device.major}:${device.minor}`,
    xattrs,
  ]
}

async function hashOf(tree: ReadableTree, path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of tree.open(path)) hash.update(chunk)
  return hash.digest('hex')
}
