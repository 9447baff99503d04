import { createHash } from 'node:crypto'
import { StrataError } from '../base/index.ts'
import type { ByteRange, ReadableTree, TreeNode } from '../layer/index.ts'
import type { FoundSource } from './sourcePaths.ts'
import { joined } from './treePaths.ts'

export interface DigestedSources {
  readonly digest: string
  /** The same files: one that has other bytes when it is read again, whole, fails. It is closed with the tree that it is of. */
  readonly tree: ReadableTree
}

/**
 * What sources have in them, as one hash: names, types, modes, owners, xattrs and contents, but not times, which every
 * checkout changes.
 *
 * @param isExcluded as `copyFiles` takes it
 * What reads the result's tree rejects with `conflict` (STRATA_SOURCE_CHANGED) for a file that was changed meanwhile: what is
 * remembered under the digest is what the digest is of.
 */
export async function digestSources(
  tree: ReadableTree,
  sources: readonly FoundSource[],
  isExcluded: (path: string) => boolean,
): Promise<DigestedSources> {
  const all = createHash('sha256')
  const hashes = new Map<string, string>()
  for (const { path, name, written } of sources) {
    all.update(JSON.stringify(written))
    const isDirectory = (await tree.lstat(path))?.type === 'directory'
    const pending = isDirectory || !isExcluded(name) ? [''] : []
    for (let below = pending.pop(); below !== undefined; below = pending.pop()) {
      const at = below === '' ? path : joined(path, below)
      const node = await tree.lstat(at)
      if (node === undefined) continue
      const hash = node.type === 'file' ? await hashOf(tree, at) : ''
      if (hash !== '') hashes.set(at, hash)
      all.update(JSON.stringify([below, ...factsOf(node), hash]))
      if (node.type !== 'directory') continue
      const inside = below
      const names = (await tree.list(at)).map(each => joined(inside, each))
      pending.push(...names.filter(each => !isExcluded(each)).toReversed())
    }
  }
  const checked: ReadableTree = {
    lstat: path => tree.lstat(path),
    list: path => tree.list(path),
    open: (path, range) => checkedContent(tree, path, { range, hash: hashes.get(path) }),
    close: () => tree.close(),
  }
  return { digest: all.digest('hex'), tree: checked }
}

interface KnownContent {
  readonly range: ByteRange | undefined
  readonly hash: string | undefined
}

async function* checkedContent(tree: ReadableTree, path: string, { range = {}, hash }: KnownContent): AsyncGenerator<Uint8Array> {
  const found = createHash('sha256')
  for await (const chunk of tree.open(path, range)) {
    found.update(chunk)
    yield chunk
  }
  const isWhole = (range.start ?? 0) === 0 && (range.end === undefined || range.end === (await tree.lstat(path))?.size)
  if (hash === undefined || !isWhole || found.digest('hex') === hash) return
  throw new StrataError('conflict', 'STRATA_SOURCE_CHANGED', `Cannot copy "${path}": it was changed while the image was built`)
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
