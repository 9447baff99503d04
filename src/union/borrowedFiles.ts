import { StrataError } from '../base/index.ts'
import { isDisplaced, type LayerEntry, type LayerIndex, type LayerNode, type ReadableTree, type TreeNode } from '../layer/index.ts'
import type { BranchNode } from './branch.ts'
import { layerNode } from './layerNode.ts'
import { lastName, parentPath } from './path.ts'

/** What a layer shows besides the entries of its index, because it links to files of the layers below. */
export interface BorrowedFiles {
  /** By path; the content is that of `own` in this layer, or of `below` in what the layers below show. */
  readonly nodes: ReadonlyMap<string, { readonly node: BranchNode; readonly own?: string; readonly below?: string }>
  /** Names that directories have besides those of the index. */
  readonly names: ReadonlyMap<string, ReadonlySet<string>>
}

/** As the kernel's limit for one path (MAXSYMLINKS). */
const SYMLINKS = 40

interface Inode {
  readonly node: BranchNode
  readonly place: { readonly own: string } | { readonly below: string }
  readonly paths: Set<string>
}

/**
 * Resolves the hard links of a layer to files below it as `completeLayer` does in a directory: the file comes
 * up, at its own path too, and has the new names there. Where the layer hides the path of the file, only the new name shows it.
 *
 * @param links the entries whose `linkOf` is not in this layer
 * Rejects with `invalidArgument` (STRATA_HARD_LINK_TARGET) when the target of a link is nowhere.
 */
export async function borrowFiles(
  index: LayerIndex,
  links: readonly LayerNode[],
  below: Pick<ReadableTree, 'lstat'>,
): Promise<BorrowedFiles> {
  const inodes = new Map<string, Inode>()
  const linkNames = new Set(links.map(({ path }) => path))
  for (const { path, linkOf = '' } of links) {
    const target = await resolve(linkOf, index, below)
    const own = target === undefined ? undefined : index.get(target)
    if (target === undefined || isDisplaced(linkNames, target) || own?.type === 'directory' || isReplaced(index, parentPath(target)))
      throw missing(path, linkOf)
    const known = inodes.get(target) ?? inodes.values().find(inode => inode.paths.has(target))
    if (known !== undefined) {
      known.paths.add(path)
    } else if (own !== undefined && own.type !== 'whiteout') {
      const first = own.linkOf ?? target
      inodes.set(target, { node: layerNode(index, own), place: { own: target }, paths: new Set([...namesOf(index, first), path]) })
    } else {
      const node = await below.lstat(target)
      if (node === undefined || node.type === 'directory') throw missing(path, linkOf)
      const shows = !isHidden(index, target)
      const place = { below: target }
      inodes.set(target, {
        node: renamed(index, node, shows ? target : path),
        place,
        paths: new Set(shows ? [target, path] : [path]),
      })
    }
  }
  return place(index, inodes.values())
}

function place(index: LayerIndex, inodes: Iterable<Inode>): BorrowedFiles {
  const nodes = new Map<string, { node: BranchNode; own?: string; below?: string }>()
  const names = new Map<string, Set<string>>()
  const addName = (path: string): void => {
    const directory = parentPath(path)
    const known = names.get(directory)
    if (known === undefined) names.set(directory, new Set([lastName(path)]))
    else known.add(lastName(path))
    if (index.get(directory) !== undefined || nodes.has(directory)) return
    nodes.set(directory, { node: impliedDirectory(index, directory) })
    addName(directory)
  }
  for (const { node, place, paths } of inodes) {
    for (const path of paths) {
      nodes.set(path, { node: { ...node, links: paths.size }, ...place })
      addName(path)
    }
  }
  return { nodes, names }
}

/** All names of an inode that the index has. */
function* namesOf(index: LayerIndex, first: string): Generator<string> {
  for (const entry of index.entries()) {
    if (entry.path === first || (entry.type !== 'whiteout' && entry.linkOf === first)) yield entry.path
  }
}

/** Follows the symlinks in the directory part of a path, inside the root; one that this layer replaces leads nowhere. */
async function resolve(path: string, index: LayerIndex, below: Pick<ReadableTree, 'lstat'>): Promise<string | undefined> {
  const pending = path.split('/').toReversed()
  const done: string[] = []
  let symlinks = 0
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    if (name === '..') {
      done.pop()
      continue
    }
    done.push(name)
    if (pending.length === 0) break
    const here = done.join('/')
    const node = await below.lstat(here)
    if (node?.linkTarget === undefined) continue
    symlinks += 1
    if (symlinks > SYMLINKS || index.get(here)?.type === 'directory') return undefined
    if (node.linkTarget.startsWith('/')) done.length = 0
    else done.pop()
    pending.push(
      ...node.linkTarget
        .split('/')
        .filter(part => part !== '' && part !== '.')
        .toReversed(),
    )
  }
  return done.join('/')
}

/** What a layer has at a path and at those of the directories above it, the root first. */
function* entriesTo(index: LayerIndex, path: string): Generator<LayerEntry> {
  yield index.get('')!
  for (let end = path.indexOf('/'); end !== -1; end = path.indexOf('/', end + 1)) {
    const entry = index.get(path.slice(0, end))
    if (entry !== undefined) yield entry
  }
  const last = path === '' ? undefined : index.get(path)
  if (last !== undefined) yield last
}

/** Tells whether a layer hides what the layers below have at a path that it has nothing at, or a whiteout. */
function isHidden(index: LayerIndex, path: string): boolean {
  return entriesTo(index, path).some(entry => entry.type !== 'directory' || entry.opaque === true)
}

/** Tells whether a layer has something else than directories on the way to what should be one; whiteouts only hide. */
function isReplaced(index: LayerIndex, path: string): boolean {
  return entriesTo(index, path).some(entry => entry.type !== 'directory' && entry.type !== 'whiteout')
}

function renamed(index: LayerIndex, node: TreeNode, path: string): BranchNode {
  return { ...node, inode: `${index.diffId}:${path}` }
}

function impliedDirectory(index: LayerIndex, path: string): BranchNode {
  return {
    type: 'directory',
    mode: 0o755,
    uid: 0,
    gid: 0,
    modifiedAt: { seconds: 0, nanoseconds: 0 },
    xattrs: new Map(),
    size: 0,
    implied: true,
    inode: `${index.diffId}:${path}`,
    links: 1,
  }
}

function missing(path: string, target: string): StrataError {
  return new StrataError(
    'invalidArgument',
    'STRATA_HARD_LINK_TARGET',
    `Cannot read layer entry ${JSON.stringify(path)}: it is a hard link to ${JSON.stringify(target)}, which is no file in this layer or below`,
  )
}
