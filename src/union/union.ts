import { type ByteStream, KeyedMutex } from '../base/index.ts'
import {
  type Attributes,
  type ByteRange,
  type Change,
  isWhiteoutDevice,
  OPAQUE_VALUE,
  OPAQUE_XATTR,
  overlayChanges,
  type ReadableTree,
  type TreeNode,
  WHITEOUT_DEVICE,
} from '../layer/index.ts'
import { copyUp } from './copyUp.ts'
import { fileError, type FileErrorCode } from './fileError.ts'
import { type MergedNode, MergedTree } from './mergedTree.ts'
import { checkContent, checkNames, checkXattr, isKnownNamespace } from './fileRules.ts'
import { childPath, parentPath } from './path.ts'
import { openBranches, type UnionBranch } from './unionBranch.ts'
import type { NewNode, WritableTree } from './writableTree.ts'

const WHITEOUT: NewNode = { type: 'character', device: WHITEOUT_DEVICE, mode: 0 }
const CAPABILITY = 'security.capability'
const SETUID = 0o4000
const SETGID = 0o2000
const GROUP_EXECUTE = 0o0010

/**
 * What overlayfs does, in this process: without mounts, without root. Trees are merged, and what changes goes to the
 * branch on top, if that is `rw`: copies of what was below, whiteouts, opaque directories. It behaves as overlayfs
 * with `redirect_dir=off,metacopy=off,index=off` does for root: a directory that a branch below has a part in cannot be
 * renamed (EXDEV), a changed name of a hard-linked inode becomes a file of its own.
 *
 * Changing methods reject with Node-shaped errors (`code`); EROFS where no branch is `rw`. Paths are those of
 * ReadableTree: no link is followed, a link on the way is ELOOP. Calls take effect one after the other; content
 * that is being read while it is changed may be from before or after. The branches belong to the union: nothing else
 * changes them, and `close` closes them. `inode` values of nodes are distinct across the branches.
 */
export class Union implements ReadableTree {
  readonly #merged: MergedTree
  readonly #lower: MergedTree
  readonly #upper: WritableTree | undefined
  readonly #turns = new KeyedMutex()

  /** @param branches top first */
  constructor(branches: readonly UnionBranch[]) {
    if (branches.slice(1).some(branch => branch.access === 'rw')) throw new TypeError('Cannot make union: only its first branch can be rw')
    const opened = openBranches(branches)
    this.#merged = new MergedTree(opened)
    this.#lower = new MergedTree(opened.slice(1))
    const top = branches[0]
    this.#upper = top?.access === 'rw' ? top.tree : undefined
  }

  lstat(path: string): Promise<TreeNode | undefined> {
    return this.#inTurn(() => this.#merged.lstat(path))
  }

  list(path: string): Promise<readonly string[]> {
    return this.#inTurn(() => this.#merged.list(path))
  }

  async *open(path: string, range?: ByteRange): AsyncGenerator<Uint8Array> {
    yield* await this.#inTurn<ByteStream>(() => this.#merged.content(path, range))
  }

  close(): Promise<void> {
    return this.#inTurn(() => this.#merged.close())
  }

  /** What the writable branch changes in those below it, for `packLayer`; nothing where there is none. The union keeps still meanwhile. */
  async *changes(): AsyncGenerator<Change> {
    if (this.#upper !== undefined) yield* overlayChanges(this.#upper, this.#lower)
  }

  /**
   * Makes what is not there. Where no group is given, a setgid directory gives its own, and makes directories setgid.
   * EPERM for 0:0 devices, which would be deletions.
   */
  create(path: string, node: NewNode): Promise<void> {
    return this.#change('create', async upper => {
      const parent = await this.#parent('create', path)
      await this.#absent('create', path)
      if (isWhiteoutDevice(node)) throw fileError('EPERM', 'create', path)
      for (const [key, value] of node.xattrs ?? []) checkXattr('create', path, { key, value, type: node.type })
      const inherits = node.gid === undefined && (parent.mode & SETGID) !== 0
      const xattrs = new Map(node.xattrs)
      if (node.type === 'directory' && (await this.#isBelow(path))) xattrs.set(OPAQUE_XATTR, OPAQUE_VALUE)
      await this.#clear(upper, path)
      await upper.create(path, {
        ...node,
        mode: node.mode | (inherits && node.type === 'directory' ? SETGID : 0),
        gid: node.gid ?? (inherits ? parent.gid : 0),
        xattrs,
      })
      this.#merged.forget(path)
    })
  }

  /** Gives a file the further name `path`; both are then one inode of the writable branch. EPERM for directories. */
  link(existing: string, path: string): Promise<void> {
    return this.#change('link', async upper => {
      const { node } = await this.#find('link', existing)
      await this.#parent('link', path)
      await this.#absent('link', path)
      if (node.type === 'directory') throw fileError('EPERM', 'link', existing, path)
      await copyUp(this.#merged, upper, { path: existing })
      await this.#clear(upper, path)
      await upper.link(existing, path)
      this.#merged.forget(path)
    })
  }

  /** Removes a name. EISDIR for directories. */
  unlink(path: string): Promise<void> {
    return this.#change('unlink', async upper => {
      const { node } = await this.#find('unlink', path)
      if (node.type === 'directory') throw fileError('EISDIR', 'unlink', path)
      await this.#remove(upper, path)
    })
  }

  /** Removes a directory in which nothing shows; ENOTEMPTY otherwise. */
  removeDirectory(path: string): Promise<void> {
    return this.#change('rmdir', async upper => {
      if (path === '') throw fileError('EBUSY', 'rmdir', path)
      const { node } = await this.#find('rmdir', path)
      if (node.type !== 'directory') throw fileError('ENOTDIR', 'rmdir', path)
      if ((await this.#merged.list(path)).length > 0) throw fileError('ENOTEMPTY', 'rmdir', path)
      await this.#remove(upper, path)
    })
  }

  /** Renames, replacing a file by a file and an empty directory by a directory. EXDEV for directories that a branch below has. */
  rename(from: string, to: string): Promise<void> {
    return this.#change('rename', async upper => {
      const source = await this.#renamable(from, to)
      if (source === undefined) return
      await copyUp(this.#merged, upper, { path: from })
      const leavesWhiteout = await this.#isBelow(from)
      // Without the mark, what is below the new place would show in the directory.
      if (source.type === 'directory' && (await this.#isBelow(to))) await upper.setXattr(from, OPAQUE_XATTR, OPAQUE_VALUE)
      await this.#clear(upper, to)
      await upper.rename(from, to)
      if (leavesWhiteout) await upper.create(from, WHITEOUT)
      this.#merged.forget(from)
      this.#merged.forget(to)
    })
  }

  /** Sets permission bits. ENOTSUP for symlinks, which have none. */
  chmod(path: string, mode: number): Promise<void> {
    return this.#changeNode('chmod', path, async (upper, node) => {
      if (node.type === 'symlink') throw fileError('ENOTSUP', 'chmod', path)
      await copyUp(this.#merged, upper, { path })
      await upper.setAttributes(path, { mode })
    })
  }

  /** Sets owner and group, of a link itself. Files lose setuid, setgid and their capabilities. */
  chown(path: string, uid: number, gid: number): Promise<void> {
    return this.#changeNode('chown', path, async (upper, node) => {
      await copyUp(this.#merged, upper, { path })
      if (node.type === 'directory') return upper.setAttributes(path, { uid, gid })
      // Without execution by the group, setgid asks for locking and gives no rights. kernel setattr_should_drop_sgid()
      const rights = (node.mode & GROUP_EXECUTE) === 0 ? SETUID : SETUID | SETGID
      await upper.setAttributes(path, { uid, gid, mode: node.mode & ~rights })
      await this.#dropCapabilities(upper, path, node)
    })
  }

  /** Sets the time of the last change, of a link itself. */
  setModifiedAt(path: string, modifiedAt: Attributes['modifiedAt']): Promise<void> {
    return this.#changeNode('utimes', path, async upper => {
      await copyUp(this.#merged, upper, { path })
      await upper.setAttributes(path, { modifiedAt })
    })
  }

  /**
   * Sets an extended attribute. ENOTSUP for other namespaces than user, trusted, security and system, and for
   * overlayfs's own names; EPERM for `user.` on what is no file and no directory.
   */
  setXattr(path: string, key: string, value: Uint8Array): Promise<void> {
    return this.#changeNode('setxattr', path, async (upper, node) => {
      // overlayfs asks the disk of the upper directory, and for that the file has to be there.
      if (!isKnownNamespace(key)) await copyUp(this.#merged, upper, { path })
      checkXattr('setxattr', path, { key, value, type: node.type })
      await copyUp(this.#merged, upper, { path })
      await upper.setXattr(path, key, value)
    })
  }

  /** Removes an extended attribute; ENODATA where there is none, else as `setXattr`. */
  removeXattr(path: string, key: string): Promise<void> {
    return this.#changeNode('removexattr', path, async (upper, node) => {
      checkXattr('removexattr', path, { key, type: node.type })
      if (!node.xattrs.has(key)) throw fileError('ENODATA', 'removexattr', path)
      await copyUp(this.#merged, upper, { path })
      await upper.setXattr(path, key, undefined)
    })
  }

  /** Writes into a file, which loses its capabilities. EISDIR, ELOOP, EINVAL for directories, links and other things. */
  write(path: string, position: number, bytes: Uint8Array): Promise<void> {
    return this.#changeNode('write', path, async (upper, node) => {
      checkContent('write', path, { type: node.type, position, end: position + bytes.length })
      await copyUp(this.#merged, upper, { path })
      if (bytes.length === 0) return
      await this.#dropCapabilities(upper, path, node)
      await upper.write(path, position, bytes)
    })
  }

  /** Cuts a file off or extends it with zeros; otherwise as `write`. */
  truncate(path: string, size: number): Promise<void> {
    return this.#changeNode('truncate', path, async (upper, node) => {
      checkContent('truncate', path, { type: node.type, position: size, end: size })
      await copyUp(this.#merged, upper, { path, contentBytes: size })
      await this.#dropCapabilities(upper, path, node)
      await upper.truncate(path, size)
    })
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    return this.#turns.run('', work)
  }

  #change(syscall: string, work: (upper: WritableTree) => Promise<void>): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#upper === undefined) throw fileError('EROFS', syscall, '')
      await work(this.#upper)
    })
  }

  #changeNode(syscall: string, path: string, work: (upper: WritableTree, node: TreeNode) => Promise<void>): Promise<void> {
    return this.#change(syscall, async upper => work(upper, (await this.#find(syscall, path)).node))
  }

  async #find(syscall: string, path: string): Promise<MergedNode> {
    if (path !== '') await this.#parent(syscall, path)
    const found = await this.#merged.find(path)
    if (found === undefined) throw fileError('ENOENT', syscall, path)
    return found
  }

  /** The directory that a path is in, or the error that a walk there meets. */
  async #parent(syscall: string, path: string): Promise<TreeNode> {
    checkNames(syscall, path)
    const parent = parentPath(path)
    const node = await this.#merged.lstat(parent)
    if (node?.type === 'directory') return node
    for (let end = parent.indexOf('/'); ; end = parent.indexOf('/', end + 1)) {
      const above = end === -1 ? node : await this.#merged.lstat(parent.slice(0, end))
      if (above === undefined) throw fileError('ENOENT', syscall, path)
      if (above.type !== 'directory') throw fileError(above.type === 'symlink' ? 'ELOOP' : 'ENOTDIR', syscall, path)
    }
  }

  async #absent(syscall: string, path: string): Promise<void> {
    if ((await this.#merged.find(path)) !== undefined) throw fileError('EEXIST', syscall, path)
  }

  /** Tells whether something would show at a path if the writable branch had nothing there. */
  async #isBelow(path: string): Promise<boolean> {
    return (await this.#merged.findBelow(path, 1)) !== undefined
  }

  /** Makes room in the writable branch for a new entry: its directory is there, and nothing at the path. */
  async #clear(upper: WritableTree, path: string): Promise<void> {
    await copyUp(this.#merged, upper, { path: parentPath(path) })
    const own = await upper.lstat(path)
    if (own === undefined) return
    // A directory that shows nothing may still hold whiteouts.
    if (own.type === 'directory') for (const name of await upper.list(path)) await upper.remove(childPath(path, name))
    await upper.remove(path)
  }

  async #remove(upper: WritableTree, path: string): Promise<void> {
    const leavesWhiteout = await this.#isBelow(path)
    await this.#clear(upper, path)
    if (leavesWhiteout) await upper.create(path, WHITEOUT)
    this.#merged.forget(path)
  }

  /** Checks a rename as the kernel does, in its order; returns what moves, or nothing where nothing has to. */
  async #renamable(from: string, to: string): Promise<TreeNode | undefined> {
    const fail = (code: FileErrorCode): Error => fileError(code, 'rename', from, to)
    if (from !== '') await this.#parent('rename', from)
    if (to !== '') await this.#parent('rename', to)
    if (from === '' || to === '') throw fail('EBUSY')
    const source = await this.#find('rename', from)
    if (to.startsWith(`${from}/`)) throw fail('EINVAL')
    if (from.startsWith(`${to}/`)) throw fail('ENOTEMPTY')
    const target = await this.#merged.find(to)
    // Names of one inode stay as they are; below the writable branch, overlayfs takes each name for a file of its own.
    if (from === to || (source.branch === 0 && target?.branch === 0 && source.node.inode === target.node.inode)) return undefined
    const isDirectory = source.node.type === 'directory'
    if (target !== undefined && isDirectory !== (target.node.type === 'directory')) throw fail(isDirectory ? 'ENOTDIR' : 'EISDIR')
    if (isDirectory && (await this.#merged.directory(from))!.branches.some(branch => branch > 0)) throw fail('EXDEV')
    if (isDirectory && target !== undefined && (await this.#merged.list(to)).length > 0) throw fail('ENOTEMPTY')
    return source.node
  }

  async #dropCapabilities(upper: WritableTree, path: string, node: TreeNode): Promise<void> {
    if (node.xattrs.has(CAPABILITY)) await upper.setXattr(path, CAPABILITY, undefined)
  }
}
