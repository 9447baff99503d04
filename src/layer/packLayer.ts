import { StrataError } from '../base/index.ts'
import { encodeTarHeader, TAR_END, type TarEntryType, type TarHeader, tarPadding } from '../tar/index.ts'
import type { Change } from './change.ts'
import { ChunkJoiner } from './chunkJoiner.ts'
import { quotePath } from './layerPath.ts'
import { splitLast } from './lowerStack.ts'
import { childPath, comparePaths } from './pathOrder.ts'
import type { ReadableTree, TreeNode } from './tree.ts'
import { isOverlayXattr, isReservedName, whiteoutName } from './whiteout.ts'

/**
 * The plain layer tar of some changes. The same changes give the same bytes: entries are sorted, owners
 * have no names, access times are left out. Deletions become whiteouts, hard links among the changes
 * stay hard links, xattrs of overlayfs and sockets are left out.
 *
 * @param upper where the content of files is read
 * The iteration rejects with `unsupported` (STRATA_NAME_RESERVED) for files whose names begin with
 * `.wh.`, which no layer can hold, and `conflict` (STRATA_FILE_CHANGED) for files that become smaller while they are read.
 */
export async function* packLayer(changes: AsyncIterable<Change> | Iterable<Change>, upper: ReadableTree): AsyncGenerator<Uint8Array> {
  const sorted: Change[] = []
  for await (const change of changes) sorted.push(change)
  sorted.sort((a, b) => comparePaths(a.path, b.path))
  const writer = new TreeTarWriter(upper)
  for (const change of sorted) {
    const { name } = splitLast(change.path)
    if (isReservedName(name)) {
      // Deleting such a name would be the deletion of another.
      throw new StrataError(
        'unsupported',
        'STRATA_NAME_RESERVED',
        `Cannot pack ${quotePath(change.path)}: in a layer, names that begin with ".wh." mean deletions`,
        { hint: 'Rename or remove it, and try again.' },
      )
    }
    if (change.kind === 'delete') yield* writer.whiteout(change.path)
    else yield* writer.node(change.path, change.node)
  }
  yield* writer.end()
}

/** The tar of a whole tree, as `export` gives it: sorted, without the root itself and without sockets. */
export async function* flatten(tree: ReadableTree): AsyncGenerator<Uint8Array> {
  const writer = new TreeTarWriter(tree)
  const pending = (await tree.list('')).toReversed()
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    const node = await tree.lstat(path)
    if (node === undefined) continue
    yield* writer.node(path, node)
    if (node.type !== 'directory') continue
    for (const name of (await tree.list(path)).toReversed()) pending.push(childPath(path, name))
  }
  yield* writer.end()
}

/** Writes nodes of a tree as entries of a tar. */
class TreeTarWriter {
  readonly #tree: ReadableTree
  readonly #out = new ChunkJoiner()
  /** The first name of each inode that has several. */
  readonly #firstNames = new Map<string, string>()

  constructor(tree: ReadableTree) {
    this.#tree = tree
  }

  async *node(path: string, node: TreeNode): AsyncGenerator<Uint8Array> {
    if (node.type === 'socket') return
    const firstName = node.links > 1 && node.type !== 'directory' ? this.#firstNames.get(node.inode) : undefined
    if (firstName !== undefined) {
      yield* this.#out.add(encodeTarHeader({ ...headerOf(path, node, 'hardlink'), linkPath: firstName, size: 0, xattrs: NO_XATTRS }))
      return
    }
    if (node.links > 1) this.#firstNames.set(node.inode, path)
    yield* this.#out.add(encodeTarHeader(headerOf(path, node, node.type)))
    if (node.type !== 'file' || node.size === 0) return
    yield* this.#out.addExactly(this.#tree.open(path, { end: node.size }), node.size, path)
    yield* this.#out.add(tarPadding(node.size))
  }

  *whiteout(path: string): Generator<Uint8Array> {
    const { directory, name } = splitLast(path)
    yield* this.#out.add(encodeTarHeader({ ...WHITEOUT, path: childPath(directory, whiteoutName(name)) }))
  }

  *end(): Generator<Uint8Array> {
    yield* this.#out.add(TAR_END)
    yield* this.#out.end()
  }
}

const NO_XATTRS: ReadonlyMap<string, Uint8Array> = new Map()

const WHITEOUT: Omit<TarHeader, 'path'> = {
  type: 'file',
  linkPath: '',
  mode: 0,
  uid: 0,
  gid: 0,
  userName: '',
  groupName: '',
  size: 0,
  modifiedAt: { seconds: 0, nanoseconds: 0 },
  xattrs: NO_XATTRS,
}

function headerOf(path: string, node: TreeNode, type: TarEntryType): TarHeader {
  return {
    type,
    path: type === 'directory' ? `${path === '' ? '.' : path}/` : path,
    linkPath: node.linkTarget ?? '',
    mode: node.mode,
    uid: node.uid,
    gid: node.gid,
    userName: '',
    groupName: '',
    size: type === 'file' ? node.size : 0,
    modifiedAt: node.modifiedAt,
    xattrs: layerXattrs(node.xattrs),
    ...(node.device === undefined ? {} : { device: node.device }),
  }
}

function layerXattrs(xattrs: ReadonlyMap<string, Uint8Array>): ReadonlyMap<string, Uint8Array> {
  if (xattrs.size === 0) return xattrs
  return new Map([...xattrs].filter(([name]) => !isOverlayXattr(name)))
}
