import { type ByteStream, compareFileNames } from '../base/index.ts'
import type { Change } from './change.ts'
import { childPath, comparePaths, directoriesAbove } from './pathOrder.ts'
import type { ReadableTree, TreeNode } from './tree.ts'
import { isOverlayXattr } from './whiteout.ts'

/**
 * What has to be done to `lower` to get `upper`, sorted by path. Files are the same when everything
 * about them is, content included; content is not compared only where both names are one inode.
 * Names that are hard links of each other in one tree and not in the other count as modified, as many
 * of them as have to be made anew. The root is listed when its mode, owner or xattrs differ; its time belongs to no layer.
 *
 * @param lower undefined stands for nothing at all
 */
export async function* diffTrees(lower: ReadableTree | undefined, upper: ReadableTree): AsyncGenerator<Change> {
  const changes = new TreeChanges(lower ?? EMPTY, upper)
  await changes.compareRoot()
  await changes.compareDirectories('')
  yield* await changes.finish()
}

/** Collects the changes between two trees. */
export class TreeChanges {
  readonly #lower: ReadableTree
  readonly #upper: ReadableTree
  readonly #changes = new Map<string, Change>()
  readonly #lowerLinks = new LinkGroups()
  readonly #upperLinks = new LinkGroups()

  constructor(lower: ReadableTree, upper: ReadableTree) {
    this.#lower = lower
    this.#upper = upper
  }

  async compareRoot(): Promise<void> {
    const [before, after] = await Promise.all([this.#lower.lstat(''), this.#upper.lstat('')])
    if (before === undefined || after === undefined) return
    if (!sameAttributes({ ...before, modifiedAt: after.modifiedAt }, after))
      this.#changes.set('', { kind: 'modify', path: '', node: after })
  }

  /** Compares everything in a directory that both trees have. */
  async compareDirectories(path: string): Promise<void> {
    const names = await this.#upper.list(path)
    const present = new Set(names)
    for (const name of await this.#lower.list(path)) if (!present.has(name)) await this.delete(childPath(path, name))
    for (const name of names) await this.compare(childPath(path, name))
  }

  /** Compares one path with everything below it. */
  async compare(path: string): Promise<void> {
    const after = await this.#upper.lstat(path)
    if (after !== undefined) await this.compareTree(path, after)
  }

  /** As `compare`, for whoever has read the node of the upper tree. */
  async compareTree(path: string, after: TreeNode): Promise<void> {
    const before = await this.compareNodes(path, after)
    if (after.type !== 'directory') return
    if (before?.type === 'directory') await this.compareDirectories(path)
    else await this.#addBelow(path)
  }

  /** Everything in a directory that stands where the lower tree has none: nothing there needs to be looked for. */
  async #addBelow(directory: string): Promise<void> {
    for (const name of await this.#upper.list(directory)) {
      const path = childPath(directory, name)
      const node = await this.#upper.lstat(path)
      if (node === undefined) continue
      this.#upperLinks.add(path, node)
      this.#changes.set(path, { kind: 'add', path, node })
      if (node.type === 'directory') await this.#addBelow(path)
    }
  }

  /** Compares what stands at one path itself; returns what is there in the lower tree. */
  async compareNodes(path: string, after: TreeNode): Promise<TreeNode | undefined> {
    const before = await this.#lower.lstat(path)
    this.#upperLinks.add(path, after)
    if (before === undefined) this.#changes.set(path, { kind: 'add', path, node: after })
    else {
      this.#lowerLinks.add(path, before)
      if (!(await this.#same(path, before, after))) this.#changes.set(path, { kind: 'modify', path, node: after })
    }
    return before
  }

  /** The lower tree has this path and the upper one has not. */
  async delete(path: string): Promise<void> {
    this.#changes.set(path, { kind: 'delete', path })
  }

  /** All changes, with the directories above them, sorted. */
  async finish(): Promise<readonly Change[]> {
    await this.#addLinks()
    for (const path of [...this.#changes.keys()]) {
      for (const directory of directoriesAbove(path)) {
        if (this.#changes.has(directory)) break
        const node = await this.#upper.lstat(directory)
        if (node !== undefined) this.#changes.set(directory, { kind: 'modify', path: directory, node })
      }
    }
    return [...this.#changes.values()].sort((a, b) => comparePaths(a.path, b.path))
  }

  /**
   * A layer can only link what is in it, so with one name of an inode all its names are in the layer. Names
   * that are left alone stay linked as they are below; of those that must no longer be, the first one stays.
   */
  async #addLinks(): Promise<void> {
    for (const names of this.#upperLinks.groups()) {
      const below = this.#lowerLinks.inodeOf(names[0]!)
      const linkedBelow = below !== undefined && names.every(name => this.#lowerLinks.inodeOf(name) === below)
      if (linkedBelow && !names.some(name => this.#changes.has(name))) continue
      for (const path of names) await this.#modify(path)
    }
    for (const names of this.#lowerLinks.groups()) {
      const [first, ...others] = names.filter(name => !this.#changes.has(name))
      if (first === undefined) continue
      const inode = this.#upperLinks.inodeOf(first)
      for (const path of others) if (inode === undefined || this.#upperLinks.inodeOf(path) !== inode) await this.#modify(path)
    }
  }

  async #modify(path: string): Promise<void> {
    if (this.#changes.has(path)) return
    const node = await this.#upper.lstat(path)
    if (node !== undefined) this.#changes.set(path, { kind: 'modify', path, node })
  }

  async #same(path: string, before: TreeNode, after: TreeNode): Promise<boolean> {
    if (!sameAttributes(before, after)) return false
    if (after.type !== 'file' || before.inode === after.inode) return true
    return sameContent(this.#lower.open(path), this.#upper.open(path))
  }
}

function sameAttributes(a: TreeNode, b: TreeNode): boolean {
  return (
    a.type === b.type &&
    a.mode === b.mode &&
    a.uid === b.uid &&
    a.gid === b.gid &&
    a.size === b.size &&
    a.linkTarget === b.linkTarget &&
    a.device?.major === b.device?.major &&
    a.device?.minor === b.device?.minor &&
    a.modifiedAt.seconds === b.modifiedAt.seconds &&
    a.modifiedAt.nanoseconds === b.modifiedAt.nanoseconds &&
    sameXattrs(a.xattrs, b.xattrs)
  )
}

function sameXattrs(a: ReadonlyMap<string, Uint8Array>, b: ReadonlyMap<string, Uint8Array>): boolean {
  if (a.size === 0 && b.size === 0) return true
  const shown = (xattrs: ReadonlyMap<string, Uint8Array>): string =>
    JSON.stringify(
      [...xattrs]
        .filter(([name]) => !isOverlayXattr(name))
        .sort(([x], [y]) => compareFileNames(x, y))
        .map(([name, value]) => [name, Buffer.from(value).toString('base64')]),
    )
  return shown(a) === shown(b)
}

/** Whether two streams have the same bytes, however they are cut into chunks. Both are closed at the first difference. */
async function sameContent(a: ByteStream, b: ByteStream): Promise<boolean> {
  const left = a[Symbol.asyncIterator]()
  const right = b[Symbol.asyncIterator]()
  try {
    let leftBytes: Uint8Array | undefined = new Uint8Array()
    let rightBytes: Uint8Array | undefined = new Uint8Array()
    for (;;) {
      while (leftBytes?.length === 0) leftBytes = await nextChunk(left)
      while (rightBytes?.length === 0) rightBytes = await nextChunk(right)
      if (leftBytes === undefined || rightBytes === undefined) return leftBytes === rightBytes
      const length = Math.min(leftBytes.length, rightBytes.length)
      if (Buffer.compare(leftBytes.subarray(0, length), rightBytes.subarray(0, length)) !== 0) return false
      leftBytes = leftBytes.subarray(length)
      rightBytes = rightBytes.subarray(length)
    }
  } finally {
    await left.return?.()
    await right.return?.()
  }
}

async function nextChunk(from: AsyncIterator<Uint8Array>): Promise<Uint8Array | undefined> {
  const next = await from.next()
  return next.done === true ? undefined : next.value
}

/** Which names of a tree are one inode. Names with an inode of their own take no memory. */
class LinkGroups {
  readonly #byInode = new Map<string, string[]>()
  readonly #inodeOf = new Map<string, string>()

  add(path: string, node: TreeNode): void {
    if (node.links < 2 || node.type === 'directory' || this.#inodeOf.has(path)) return
    this.#inodeOf.set(path, node.inode)
    const names = this.#byInode.get(node.inode)
    if (names === undefined) this.#byInode.set(node.inode, [path])
    else names.push(path)
  }

  /** Those of two names and more. */
  *groups(): Generator<readonly string[]> {
    for (const names of this.#byInode.values()) if (names.length > 1) yield names
  }

  /** Undefined where a name has its inode alone. */
  inodeOf(name: string): string | undefined {
    return this.#inodeOf.get(name)
  }
}

const EMPTY: ReadableTree = {
  lstat: async () => undefined,
  list: async () => [],
  async *open() {},
  close: async () => undefined,
}
