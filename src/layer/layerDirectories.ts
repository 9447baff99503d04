import { errnoOf } from '../base/index.ts'
import { close, CURRENT_DIRECTORY, makeDirectoryAt, openDirectoryAt, statFd, type Timestamp, unlinkAt } from '../host/index.ts'
import { LayerDirectory, type LayerName, subtree } from './layerModel.ts'

/** Open directories at a time. Archives go through a tree mostly in order, so few are needed. */
const OPEN_DIRECTORIES = 64
/** Nobody else looks into a directory before it has its own mode. */
const MODE_WHILE_WRITTEN = 0o700

/**
 * Descriptors of the directories that a layer is written into. A directory is known by its place in the
 * model, never by a path, and each is opened in its parent's descriptor without following a link: what
 * others do to the names meanwhile cannot lead outside.
 */
export class LayerDirectories {
  readonly #open = new Map<LayerDirectory, number>()
  /** Directories that are known to be on disk. */
  readonly #made = new Set<LayerDirectory>()
  readonly #keptTimes = new Map<LayerDirectory, Timestamp>()
  readonly #overLower: boolean
  readonly #rootFd: number
  #last: LayerDirectory
  #lastFd: number

  /**
   * @param path the tree's root, a directory of the host
   * @param overLower whether the tree has the layers below in it already
   */
  constructor(path: string, root: LayerDirectory, overLower: boolean) {
    this.#overLower = overLower
    this.#rootFd = openDirectoryAt(CURRENT_DIRECTORY, path)
    this.#made.add(root)
    this.#open.set(root, this.#rootFd)
    if (overLower) this.#keptTimes.set(root, statFd(this.#rootFd).modifiedAt)
    this.#last = root
    this.#lastFd = this.#rootFd
  }

  /** The descriptor of a directory; makes it and those above it where they are missing. Valid until the next call. */
  fdOf(directory: LayerDirectory): number {
    if (directory === this.#last) return this.#lastFd
    const way: LayerDirectory[] = []
    let at = directory
    let fd = this.#open.get(at)
    while (fd === undefined) {
      way.push(at)
      at = at.parent!
      fd = this.#open.get(at)
    }
    this.#touch(at, fd)
    for (let next = way.pop(); next !== undefined; next = way.pop()) {
      fd = this.#made.has(next) ? openDirectoryAt(fd, next.name) : this.#make(fd, next)
      this.#made.add(next)
      this.#touch(next, fd)
    }
    this.#last = directory
    this.#lastFd = fd
    return fd
  }

  /** Tells whether a directory has been made, so that something of it is on disk. */
  isMade(directory: LayerDirectory): boolean {
    return this.#made.has(directory)
  }

  /** The modification time that an existing directory had when it was first needed. */
  keptTime(directory: LayerDirectory): Timestamp | undefined {
    return this.#keptTimes.get(directory)
  }

  /** Forgets the directories of a subtree that is about to be removed. */
  forget(top: LayerName): void {
    for (const node of subtree(top)) {
      if (!(node instanceof LayerDirectory) || !this.#made.delete(node)) continue
      this.#keptTimes.delete(node)
      const fd = this.#open.get(node)
      if (fd === undefined) continue
      this.#open.delete(node)
      close(fd)
      if (node === this.#last) this.#toRoot()
    }
  }

  close(): void {
    for (const fd of this.#open.values()) close(fd)
    this.#open.clear()
  }

  #toRoot(): void {
    for (const [root, fd] of this.#open) {
      if (fd !== this.#rootFd) continue
      this.#last = root
      this.#lastFd = fd
    }
  }

  #make(parentFd: number, directory: LayerDirectory): number {
    if (this.#overLower) {
      try {
        const fd = openDirectoryAt(parentFd, directory.name)
        this.#keptTimes.set(directory, statFd(fd).modifiedAt)
        return fd
      } catch (error) {
        const errno = errnoOf(error)
        // O_NOFOLLOW says ELOOP, O_DIRECTORY says ENOTDIR: something else than a directory is replaced.
        if (errno === 'ENOTDIR' || errno === 'ELOOP') unlinkAt(parentFd, directory.name)
        else if (errno !== 'ENOENT') throw error
      }
    }
    makeDirectoryAt(parentFd, directory.name, MODE_WHILE_WRITTEN)
    return openDirectoryAt(parentFd, directory.name)
  }

  /** Makes a descriptor the youngest, and closes the oldest of too many; the root's stays. */
  #touch(directory: LayerDirectory, fd: number): void {
    this.#open.delete(directory)
    this.#open.set(directory, fd)
    if (this.#open.size <= OPEN_DIRECTORIES) return
    for (const [oldest, oldestFd] of this.#open) {
      if (oldestFd === this.#rootFd) continue
      this.#open.delete(oldest)
      close(oldestFd)
      return
    }
  }
}
