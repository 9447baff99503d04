import { constants } from 'node:fs'
import { errnoOf, StrataError } from '../base/index.ts'
import {
  close,
  ConfinedRoot,
  CURRENT_DIRECTORY,
  getXattrFd,
  linkAt,
  makeNodeAt,
  openAt,
  openDirectoryAt,
  readDirectory,
  readInto,
  readlinkAt,
  removeTreeAt,
  setTimesFd,
  setXattrFd,
  statAt,
  statFd,
  symlinkAt,
  truncate,
  writeAll,
} from '../host/index.ts'
import { type MadeWith, removeOtherXattrs, setAttributesAt, setAttributesFd } from './attributes.ts'
import { LayerDirectories } from './layerDirectories.ts'
import { type Inode, LayerDirectory, type LayerModel, type LayerName, subtree } from './layerModel.ts'
import { isDisplaced, missingLinkTarget } from './linkTargets.ts'
import { quotePath } from './layerPath.ts'
import { separateInode } from './separateInode.ts'
import { OPAQUE_VALUE, OPAQUE_XATTR, WHITEOUT_DEVICE } from './whiteout.ts'

/**
 * How a layer is written down: `overlay` alone in an empty directory, in the form that overlayfs reads;
 * `remove` onto a tree that has the layers below in it.
 */
export type Dialect = 'overlay' | 'remove'

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDONLY, O_WRONLY } = constants
const CREATE = O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW
/** Nobody else opens a file before it has its own mode: in a tree that others see already. */
const MODE_WHILE_WRITTEN = 0o600
const PERMISSIONS = 0o777
const UMASK = process.umask()
const READ_BYTES = 256 * 1024

/** Writes what the model decides to disk, one entry after the other; directories get their attributes at the end. */
export class LayerTreeWriter {
  /** Xattrs that the file system did not take. */
  skippedXattrs = 0
  readonly #directories: LayerDirectories
  readonly #model: LayerModel
  readonly #dialect: Dialect
  readonly #path: string
  /** Whom everything belongs to that is made here, where that is certain. */
  readonly #owner: MadeWith | undefined
  /** Inodes of lower layers that the layer has made its own by linking to them. */
  readonly #linkedBelow = new Set<bigint>()
  #file: { readonly fd: number; readonly inode: Inode; readonly made: MadeWith | undefined; extent: number; done: number } | undefined

  constructor(path: string, model: LayerModel, dialect: Dialect) {
    this.#path = path
    this.#model = model
    this.#dialect = dialect
    this.#directories = new LayerDirectories(path, model.root, dialect === 'remove')
    this.#owner = dialect === 'overlay' ? ownerOfNew(this.#directories.fdOf(model.root)) : undefined
  }

  /** Begins a file; its payload follows by `write`, then `endFile`. */
  beginFile(node: LayerName): void {
    const directory = this.#directories.fdOf(node.parent!)
    const mode = this.#owner === undefined ? MODE_WHILE_WRITTEN : node.inode.mode & PERMISSIONS
    const fd = this.#create(directory, node.name, () => openAt(directory, node.name, CREATE, mode))
    const made = this.#owner === undefined ? undefined : { ...this.#owner, mode: mode & ~UMASK }
    this.#file = { fd, inode: node.inode, made, extent: 0, done: 0 }
  }

  write(chunk: Uint8Array): void {
    const file = this.#file!
    if (file.inode.sparse === undefined) writeAll(file.fd, chunk)
    else this.#writeSparse(chunk)
  }

  endFile(): void {
    const { fd, inode, made } = this.#file!
    this.#file = undefined
    try {
      if (inode.sparse !== undefined) truncate(fd, inode.size)
      this.skippedXattrs += setAttributesFd(fd, inode, made)
    } finally {
      close(fd)
    }
  }

  /** Makes a symlink, device or FIFO. */
  makeOther(node: LayerName): void {
    const { inode, name } = node
    const directory = this.#directories.fdOf(node.parent!)
    this.#create(directory, name, () => {
      if (inode.linkTarget !== undefined) symlinkAt(inode.linkTarget, directory, name)
      else makeNodeAt(directory, name, inode.type as 'character' | 'block' | 'fifo', { mode: MODE_WHILE_WRITTEN, device: inode.device })
    })
    this.skippedXattrs += setAttributesAt(this.#directories.fdOf(node.parent!), name, inode, this.#owner)
  }

  /** Makes `node` a further name of `target`, which is on disk. */
  link(node: LayerName, target: LayerName): void {
    // Of its own, since the way to the other directory may close those that are open.
    const from = openDirectoryAt(this.#directories.fdOf(target.parent!), '.')
    try {
      const to = this.#directories.fdOf(node.parent!)
      this.#create(to, node.name, () => linkAt(from, target.name, to, node.name))
    } finally {
      close(from)
    }
  }

  /** Gives something that is no directory the attributes of its inode (again). */
  setAttributes(node: LayerName): void {
    const directory = this.#directories.fdOf(node.parent!)
    this.skippedXattrs += setAttributesAt(directory, node.name, node.inode)
  }

  /**
   * Removes what an earlier entry of this layer made.
   *
   * @param keep gets the payload of every file that loses its last name with it
   */
  remove(node: LayerName, keep: ((inode: Inode, chunk: Uint8Array) => void) | undefined): void {
    if (keep !== undefined) {
      const kept = new Set<Inode>()
      for (const { inode, parent, name } of subtree(node)) {
        if (inode.names > 0 || inode.type !== 'file' || inode.storedSize === 0 || kept.has(inode)) continue
        kept.add(inode)
        this.#readPayload(this.#directories.fdOf(parent!), name, inode, chunk => keep(inode, chunk))
      }
    }
    this.#directories.forget(node)
    if (this.#directories.isMade(node.parent!)) removeTreeAt(this.#directories.fdOf(node.parent!), node.name)
  }

  /** Links what the model could link only at the end, makes deletions, and gives every directory its attributes, deepest first. */
  finish(): void {
    for (const { node, target } of this.#model.lateLinks) this.link(node, target)
    if (this.#dialect === 'remove' && this.#model.lowerLinks.length > 0) this.#linkAllLower()
    for (const directory of deepestFirst(this.#model.root)) {
      const fd = this.#directories.fdOf(directory)
      if (this.#dialect === 'overlay') this.#finishAlone(fd, directory)
      else this.#finishOverLower(fd, directory)
    }
  }

  close(): void {
    if (this.#file !== undefined) close(this.#file.fd)
    this.#file = undefined
    this.#directories.close()
  }

  #finishAlone(fd: number, directory: LayerDirectory): void {
    for (const name of directory.whiteouts ?? []) makeNodeAt(fd, name, 'character', { mode: 0, device: WHITEOUT_DEVICE })
    if (directory.opaque) setXattrFd(fd, OPAQUE_XATTR, OPAQUE_VALUE)
    this.skippedXattrs += setAttributesFd(fd, directory.inode, this.#owner)
  }

  #finishOverLower(fd: number, directory: LayerDirectory): void {
    for (const name of directory.whiteouts ?? []) removeTreeAt(fd, name)
    if (hidesLower(directory)) {
      for (const { name } of readDirectory(fd)) if (!directory.children.has(name)) removeTreeAt(fd, name)
    }
    const before = this.#directories.keptTime(directory)
    if (directory.implied && before !== undefined) {
      setTimesFd(fd, { modifiedAt: before })
      return
    }
    if (before !== undefined) removeOtherXattrs(fd, '.', directory.inode.xattrs)
    this.skippedXattrs += setAttributesFd(fd, directory.inode)
  }

  /** Before the deletions: what a layer hides from others it may still link to, unless a directory of the layer is in the way. */
  #linkAllLower(): void {
    for (const directory of deepestFirst(this.#model.root)) this.#directories.fdOf(directory)
    const names = new Set(this.#model.lowerLinks.map(({ path }) => path))
    for (const node of this.#model.lowerLinks) this.#linkLower(node, names)
  }

  /** @param linkNames those of all such links */
  #linkLower(node: LayerName, linkNames: ReadonlySet<string>): void {
    const target = node.inode.lower!
    using root = new ConfinedRoot(this.#path)
    try {
      root.at(target, (from, name) => {
        const resolved = this.#pathAt(from, name)
        if (isDisplaced(linkNames, resolved)) throw missingLinkTarget(node.path, target, undefined)
        const stat = statAt(from, name)
        // The other names below do not become names of what the layer has, as they do not in overlayfs.
        if (stat.type !== 'directory' && stat.links > 1 && !this.#linkedBelow.has(stat.inode) && !this.#hasNode(resolved))
          separateInode(from, name, stat)
        this.#linkedBelow.add(statAt(from, name).inode)
        const to = this.#directories.fdOf(node.parent!)
        this.#create(to, node.name, () => linkAt(from, name, to, node.name))
      })
    } catch (error) {
      const errno = errnoOf(error)
      // The kernel answers EPERM for a hard link to a directory.
      if (errno !== 'ENOENT' && errno !== 'ENOTDIR' && errno !== 'ELOOP' && errno !== 'EPERM') throw error
      throw missingLinkTarget(node.path, target, error)
    }
  }

  /** Where a name in an open directory of the tree is. */
  #pathAt(directory: number, name: string): string {
    const pathOf = (fd: number): string => readlinkAt(CURRENT_DIRECTORY, `/proc/self/fd/${fd}`)
    const inTree = pathOf(directory).slice(pathOf(this.#directories.fdOf(this.#model.root)).length)
    return `${inTree}/${name}`.slice(1)
  }

  /** Tells whether a path is one of the layer's names: the target of a link may lead back into it through a symlink below. */
  #hasNode(path: string): boolean {
    let at: LayerName | undefined = this.#model.root
    for (const name of path.split('/')) at = at instanceof LayerDirectory ? at.children.get(name) : undefined
    return at !== undefined
  }

  /** Creates something; what is in the way is of a lower layer, and goes. */
  #create<T>(directory: number, name: string, create: () => T): T {
    try {
      return create()
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST' || this.#dialect === 'overlay') throw error
      removeTreeAt(directory, name)
      return create()
    }
  }

  #writeSparse(chunk: Uint8Array): void {
    const file = this.#file!
    let rest = chunk
    while (rest.length > 0) {
      const extent = file.inode.sparse![file.extent]!
      const piece = rest.subarray(0, extent.size - file.done)
      writeAll(file.fd, piece, extent.offset + file.done)
      file.done += piece.length
      rest = rest.subarray(piece.length)
      if (file.done === extent.size) {
        file.extent += 1
        file.done = 0
      }
    }
  }

  #readPayload(directory: number, name: string, inode: Inode, take: (chunk: Uint8Array) => void): void {
    const fd = openAt(directory, name, O_RDONLY | O_NOFOLLOW)
    try {
      for (const { offset, size } of inode.sparse ?? [{ offset: 0, size: inode.size }]) {
        for (let done = 0; done < size;) {
          const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, size - done))
          const count = readInto(fd, buffer, offset + done)
          if (count === 0)
            throw new StrataError('dataLoss', 'STRATA_LAYER_FILE_CHANGED', `Cannot apply layer: ${quotePath(name)} was changed meanwhile`)
          take(buffer.subarray(0, count))
          done += count
        }
      }
    } finally {
      close(fd)
    }
  }
}

/** Directories after everything that is below them. */
function* deepestFirst(root: LayerDirectory): Generator<LayerDirectory> {
  const way: { readonly directory: LayerDirectory; readonly children: Iterator<LayerName> }[] = []
  const enter = (directory: LayerDirectory): void => {
    way.push({ directory, children: directory.children.values() })
  }
  enter(root)
  for (let at = way.at(-1); at !== undefined; at = way.at(-1)) {
    const next = at.children.next()
    if (next.done === true) {
      yield at.directory
      way.pop()
    } else if (next.value instanceof LayerDirectory) enter(next.value)
  }
}

/** Tells whether nothing of the layers below may stay in a directory of a finished model. */
function hidesLower(directory: LayerDirectory): boolean {
  for (let at: LayerDirectory | undefined = directory; at !== undefined; at = at.parent) if (at.opaque) return true
  return false
}

/**
 * Whom the files belong to that this process makes below a new, empty directory. Undefined where they might take group or
 * permissions from the directories above.
 */
function ownerOfNew(directory: number): MadeWith | undefined {
  const { uid, gid } = statFd(directory)
  const inheritsNothing = gid === process.getegid!() && getXattrFd(directory, 'system.posix_acl_default') === undefined
  return inheritsNothing && uid === process.geteuid!() ? { uid, gid } : undefined
}
