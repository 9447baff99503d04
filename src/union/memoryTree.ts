import { systemError } from '../base/index.ts'
import type { Attributes, ByteRange, TreeNode } from '../layer/index.ts'
import { fileError, type FileErrorCode } from './fileError.ts'
import { MemoryContent } from './memoryContent.ts'
import { lastName, parentPath, sortedNames } from './path.ts'
import type { AttributeChanges, NewNode, NodeKind, WritableTree } from './writableTree.ts'

type Timestamp = Attributes['modifiedAt']

export interface MemoryTreeOptions {
  /** The attributes of the root. Default: 0755, root's, without xattrs, made now. */
  readonly root?: Attributes
  /** What time it is when something changes. Default: the clock's. */
  readonly now?: () => Timestamp
}

/**
 * A tree in memory. Content that is only copied from elsewhere stays there until it is written to, and
 * holes take no space.
 */
export class MemoryTree implements WritableTree {
  readonly #root: Inode
  readonly #now: () => Timestamp

  constructor(options: MemoryTreeOptions = {}) {
    this.#now = options.now ?? clock
    this.#root = new Inode({ ...options.root, type: 'directory', mode: options.root?.mode ?? 0o755 }, this.#now)
  }

  async lstat(path: string): Promise<TreeNode | undefined> {
    return this.#find(path)?.node()
  }

  async list(path: string): Promise<readonly string[]> {
    const inode = this.#find(path)
    if (inode?.children === undefined) {
      throw systemError(`list ${JSON.stringify(path)}`, fileError(inode === undefined ? 'ENOENT' : 'ENOTDIR', 'list', path))
    }
    return sortedNames(inode.children.keys())
  }

  async *open(path: string, range: ByteRange = {}): AsyncGenerator<Uint8Array> {
    const inode = this.#find(path)
    if (inode?.content === undefined) {
      throw systemError(`read ${JSON.stringify(path)}`, fileError(inode === undefined ? 'ENOENT' : 'EINVAL', 'open', path))
    }
    yield* inode.content.read(range.start ?? 0, range.end ?? Infinity)
  }

  async close(): Promise<void> {}

  async create(path: string, node: NewNode): Promise<void> {
    this.#add(path, new Inode(node, this.#now), 'create')
  }

  async link(existing: string, path: string): Promise<void> {
    const inode = this.#get(existing, 'link')
    if (inode.children !== undefined) throw fileError('EPERM', 'link', existing, path)
    this.#add(path, inode, 'link')
    inode.links += 1
  }

  async remove(path: string): Promise<void> {
    const inode = this.#get(path, 'remove')
    if (path === '') throw fileError('EBUSY', 'remove', path)
    if (inode.children !== undefined && inode.children.size > 0) throw fileError('ENOTEMPTY', 'remove', path)
    this.#take(path)
    inode.links -= 1
  }

  async rename(from: string, to: string): Promise<void> {
    const inode = this.#get(from, 'rename')
    if (from === '') throw fileError('EBUSY', 'rename', from, to)
    if (to.startsWith(`${from}/`)) throw fileError('EINVAL', 'rename', from, to)
    this.#add(to, inode, 'rename')
    this.#take(from)
  }

  async setAttributes(path: string, changes: AttributeChanges): Promise<void> {
    const inode = this.#get(path, 'setAttributes')
    inode.mode = changes.mode ?? inode.mode
    inode.uid = changes.uid ?? inode.uid
    inode.gid = changes.gid ?? inode.gid
    inode.modifiedAt = changes.modifiedAt ?? inode.modifiedAt
  }

  async setXattr(path: string, key: string, value: Uint8Array | undefined): Promise<void> {
    const inode = this.#get(path, 'setXattr')
    const xattrs = new Map(inode.xattrs)
    if (value === undefined) xattrs.delete(key)
    else xattrs.set(key, Uint8Array.from(value))
    // A new map, because nodes that were given out have the old one.
    inode.xattrs = xattrs
  }

  async write(path: string, position: number, bytes: Uint8Array): Promise<void> {
    const inode = this.#get(path, 'write')
    await this.#contentOf(inode, path, 'write').write(position, bytes)
    if (bytes.length > 0) inode.modifiedAt = this.#now()
  }

  async truncate(path: string, size: number): Promise<void> {
    const inode = this.#get(path, 'truncate')
    this.#contentOf(inode, path, 'truncate').truncate(size)
    inode.modifiedAt = this.#now()
  }

  #find(path: string): Inode | undefined {
    if (path === '') return this.#root
    let inode: Inode | undefined = this.#root
    for (const name of path.split('/')) inode = inode?.children?.get(name)
    return inode
  }

  #get(path: string, syscall: string): Inode {
    const inode = this.#find(path)
    if (inode === undefined) throw fileError('ENOENT', syscall, path)
    return inode
  }

  #contentOf(inode: Inode, path: string, syscall: string): MemoryContent {
    if (inode.content !== undefined) return inode.content
    const code: FileErrorCode = inode.children === undefined ? 'EINVAL' : 'EISDIR'
    throw fileError(code, syscall, path)
  }

  #add(path: string, inode: Inode, syscall: string): void {
    const directory = this.#get(parentPath(path), syscall)
    if (directory.children === undefined) throw fileError('ENOTDIR', syscall, path)
    if (path === '' || directory.children.has(lastName(path))) throw fileError('EEXIST', syscall, path)
    directory.children.set(lastName(path), inode)
    directory.modifiedAt = this.#now()
  }

  #take(path: string): void {
    const directory = this.#get(parentPath(path), 'remove')
    directory.children!.delete(lastName(path))
    directory.modifiedAt = this.#now()
  }
}

/** Counts the inodes of all trees, which may meet in one union. */
let inodes = 0

class Inode {
  mode: number
  uid: number
  gid: number
  modifiedAt: Timestamp
  xattrs: ReadonlyMap<string, Uint8Array>
  links = 1
  readonly children: Map<string, Inode> | undefined
  readonly content: MemoryContent | undefined
  readonly #kind: NodeKind
  readonly #number: number

  constructor(node: NewNode, now: () => Timestamp) {
    this.mode = node.mode
    this.uid = node.uid ?? 0
    this.gid = node.gid ?? 0
    this.modifiedAt = node.modifiedAt ?? now()
    this.xattrs = new Map(node.xattrs)
    this.children = node.type === 'directory' ? new Map() : undefined
    this.content = node.type === 'file' ? new MemoryContent(node.content) : undefined
    this.#kind = node
    inodes += 1
    this.#number = inodes
  }

  node(): TreeNode {
    const kind = this.#kind
    return {
      type: kind.type,
      mode: this.mode,
      uid: this.uid,
      gid: this.gid,
      modifiedAt: this.modifiedAt,
      xattrs: this.xattrs,
      size: this.content?.size ?? 0,
      ...(kind.type === 'symlink' ? { linkTarget: kind.linkTarget } : {}),
      ...(kind.type === 'character' || kind.type === 'block' ? { device: kind.device } : {}),
      inode: `memory:${this.#number}`,
      links: this.links,
    }
  }
}

function clock(): Timestamp {
  const milliseconds = Date.now()
  return { seconds: Math.floor(milliseconds / 1000), nanoseconds: (milliseconds % 1000) * 1_000_000 }
}
