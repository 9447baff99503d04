import { StrataError } from '../base/index.ts'
import { ConfinedRoot } from '../host/index.ts'
import type { Change } from './change.ts'
import { TreeChanges } from './diffTrees.ts'
import { directoryTree } from './directoryTree.ts'
import { quotePath } from './layerPath.ts'
import { childPath } from './pathOrder.ts'
import type { ReadableTree, TreeNode } from './tree.ts'
import { isOverlayXattr, isWhiteoutDevice, OPAQUE_VALUE, OPAQUE_XATTR } from './whiteout.ts'

/** The xattrs by which an upper directory would say that part of a node is elsewhere. kernel overlayfs.rst */
const ELSEWHERE = ['trusted.overlay.metacopy', 'trusted.overlay.redirect']

/**
 * What an overlayfs upper directory changes in the tree below it, as `diffTrees` would find between
 * the two mounts, but only what was touched is looked at. Files that were copied up and not changed
 * are no changes.
 *
 * @param upper a directory, or a tree that shows whiteouts and opaque directories as one would; the tree stays open
 * @param lower what the layers below show
 * The iteration rejects with `unsupported` (STRATA_OVERLAY_STUB) for directories of a mount with
 * metadata-only copies or redirects: such a directory is no layer.
 */
export async function* overlayChanges(upper: string | ConfinedRoot | ReadableTree, lower: ReadableTree): AsyncGenerator<Change> {
  const opened = typeof upper === 'string' || upper instanceof ConfinedRoot ? directoryTree(upper, saysSomething) : undefined
  const disk = opened ?? (upper as ReadableTree)
  try {
    const changes = new TreeChanges(lower, withoutMarks(disk))
    await changes.compareRoot()
    await compareMerged('', { disk, lower, changes })
    yield* await changes.finish()
  } finally {
    await opened?.close()
  }
}

interface Walk {
  readonly disk: ReadableTree
  readonly lower: ReadableTree
  readonly changes: TreeChanges
}

/** A directory that overlayfs merges with the one below it. */
async function compareMerged(directory: string, walk: Walk): Promise<void> {
  for (const name of await walk.disk.list(directory)) {
    const path = childPath(directory, name)
    const node = await walk.disk.lstat(path)
    if (node === undefined) continue
    if (isWhiteoutDevice(node)) {
      if ((await walk.lower.lstat(path)) !== undefined) await walk.changes.delete(path)
    } else if (node.type === 'directory' && !isOpaque(node) && (await walk.lower.lstat(path))?.type === 'directory') {
      await walk.changes.compareNodes(path, plainNode(path, node))
      await compareMerged(path, walk)
    } else await walk.changes.compareTree(path, plainNode(path, node))
  }
}

/** What a container wrote, without what overlayfs keeps there for itself. */
function withoutMarks(disk: ReadableTree): ReadableTree {
  return {
    async lstat(path) {
      const node = await disk.lstat(path)
      return node === undefined || isWhiteoutDevice(node) ? undefined : plainNode(path, node)
    },
    list: path => disk.list(path),
    open: (path, range) => disk.open(path, range),
    close: () => disk.close(),
  }
}

function plainNode(path: string, node: TreeNode): TreeNode {
  if (node.xattrs.size === 0) return node
  const stub = ELSEWHERE.find(name => node.xattrs.has(name))
  if (stub !== undefined) {
    throw new StrataError(
      'unsupported',
      'STRATA_OVERLAY_STUB',
      `Cannot read changes: ${quotePath(path)} has "${stub}", so its content is elsewhere`,
    )
  }
  const xattrs = new Map([...node.xattrs].filter(([name]) => !isOverlayXattr(name)))
  return xattrs.size === node.xattrs.size ? node : { ...node, xattrs }
}

/** Most of what overlayfs notes at a node is where it was copied from, which is nobody else's business. */
function saysSomething(xattr: string): boolean {
  return !isOverlayXattr(xattr) || xattr === OPAQUE_XATTR || ELSEWHERE.includes(xattr)
}

function isOpaque(node: TreeNode): boolean {
  const value = node.xattrs.get(OPAQUE_XATTR)
  return value !== undefined && Buffer.compare(value, OPAQUE_VALUE) === 0
}
