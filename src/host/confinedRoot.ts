import { constants } from 'node:fs'
import { errnoOf } from '../base/index.ts'
import { close, CURRENT_DIRECTORY, O_PATH, openAt } from './descriptors.ts'
import { type DirectoryEntry, readDirectory } from './directories.ts'
import {
  chmodAt,
  chownAt,
  linkAt,
  makeDirectoryAt,
  makeNodeAt,
  type NodeAttributes,
  readlinkAt,
  renameAt,
  type RenameMode,
  setTimesAt,
  symlinkAt,
  unlinkAt,
} from './entries.ts'
import { callError } from './libc.ts'
import { openHow, RESOLVE_BENEATH, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS } from './openHow.ts'
import { removeTreeAt } from './removeTree.ts'
import { type FileType, type Stat, statAt, statFd } from './stat.ts'
import type { Timestamps } from './timestamps.ts'
import { getXattrAt, readXattrsAt, removeXattrAt, setXattrAt } from './xattrs.ts'

const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOCTTY, O_NOFOLLOW, O_RDONLY, O_RDWR } = constants

/** What the kernel takes as one path, without its NUL (PATH_MAX). */
const PATH_BYTES = 4095

/**
 * A directory as a root that nothing leads out of: each path is resolved by the kernel as a process
 * chrooted there would see it (openat2 with RESOLVE_IN_ROOT), at every call anew, and what is found is
 * held by a descriptor while it is worked on. Absolute links and `..` start at or stop at this root;
 * links of /proc are refused (ELOOP). What others rename or replace meanwhile can change which file
 * inside is meant, never lead outside.
 *
 * Paths are relative to the root; a leading slash, doubled slashes and a slash at the end mean nothing.
 * `''` is the root. Inner links are followed; whether the last one is, each method says. Methods
 * throw Node-shaped errors with `code`. A path longer than PATH_MAX works where it has no links
 * and no `..` in it, else it is ENAMETOOLONG.
 */
export class ConfinedRoot implements Disposable {
  readonly #root: number
  #open = true

  /** @param path a directory of the host, links followed */
  constructor(path: string) {
    this.#root = openAt(CURRENT_DIRECTORY, path, O_PATH | O_DIRECTORY)
  }

  /** Gives the root's descriptor back. Descriptors that methods returned stay open. */
  close(): void {
    if (!this.#open) return
    this.#open = false
    close(this.#root)
  }

  [Symbol.dispose](): void {
    this.close()
  }

  /**
   * Calls `use` with the directory that holds `path` and its last component, for any *At call; the
   * descriptor is closed afterwards. For the root and paths that end in `..` the component is `.`.
   */
  at<T>(path: string, use: (directory: number, name: string) => T): T {
    const parts = componentsOf(path)
    const last = parts.at(-1)
    const named = last !== undefined && last !== '..'
    const directory = this.#resolve(named ? parts.slice(0, -1) : parts, O_PATH | O_DIRECTORY)
    try {
      return use(directory, named ? last : '.')
    } finally {
      close(directory)
    }
  }

  /** The attributes of what `path` leads to, its last link followed. */
  stat(path: string): Stat {
    const fd = this.openPath(path)
    try {
      return statFd(fd)
    } finally {
      close(fd)
    }
  }

  /** The attributes of `path` itself, of the link where it is one. */
  lstat(path: string): Stat {
    return this.at(path, statAt)
  }

  /** What the link at `path` says, unresolved. */
  readlink(path: string): string {
    return this.at(path, readlinkAt)
  }

  /** The entries of a directory, links followed. */
  list(path: string): DirectoryEntry[] {
    const fd = this.openDirectory(path)
    try {
      return readDirectory(fd)
    } finally {
      close(fd)
    }
  }

  /** A place to mount on or to pin, links followed; use it as `/proc/self/fd/<fd>` or in *At calls. The caller closes it. */
  openPath(path: string): number {
    return this.#resolve(componentsOf(path), O_PATH)
  }

  /** A directory opened for reading its names, links followed. The caller closes it. */
  openDirectory(path: string): number {
    return this.#resolve(componentsOf(path), O_RDONLY | O_DIRECTORY)
  }

  /**
   * A regular file opened for reading, links followed. The caller closes it.
   *
   * @throws EISDIR for a directory, EINVAL for devices, FIFOs and sockets, which are never opened: they block or act
   */
  openFile(path: string): number {
    const held = this.openPath(path)
    try {
      const { type } = statFd(held)
      if (type === 'directory') throw callError('EISDIR', 'open', path)
      if (type !== 'file') throw callError('EINVAL', 'open', path)
      return openAt(CURRENT_DIRECTORY, `/proc/self/fd/${held}`, O_RDONLY | O_NOCTTY)
    } finally {
      close(held)
    }
  }

  /**
   * A new empty file opened for reading and writing; what is at `path` already, also a link that leads
   * nowhere, is EEXIST. The caller closes it.
   *
   * @param mode permissions, masked by the umask
   */
  createFile(path: string, mode: number): number {
    return this.at(path, (directory, name) => openAt(directory, name, O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW, mode))
  }

  /** @param mode permissions, masked by the umask */
  makeDirectory(path: string, mode: number): void {
    this.at(path, (directory, name) => makeDirectoryAt(directory, name, mode))
  }

  /**
   * Makes a directory and those above it that are missing. Existing ones, and links to directories
   * inside the root, are taken as they are. A link that leads to a missing place is ENOENT, never filled in.
   *
   * @param mode permissions of each that is made, masked by the umask
   */
  makeDirectories(path: string, mode: number): void {
    const parts = componentsOf(path)
    for (let depth = this.#existing(parts) + 1; depth <= parts.length; depth += 1) {
      try {
        this.makeDirectory(parts.slice(0, depth).join('/'), mode)
      } catch (error) {
        if (errnoOf(error) !== 'EEXIST') throw error
      }
    }
    close(this.#resolve(parts, O_PATH | O_DIRECTORY))
  }

  /** Makes a link at `path` that says `target`, whatever that is. */
  symlink(target: string, path: string): void {
    this.at(path, (directory, name) => symlinkAt(target, directory, name))
  }

  /** Gives `existing` (the link itself where it is one) the further name `path`. */
  link(existing: string, path: string): void {
    this.at(existing, (from, name) => this.at(path, (to, newName) => linkAt(from, name, to, newName)))
  }

  /** Makes a FIFO, a device or a socket's name. */
  makeNode(path: string, type: Exclude<FileType, 'directory' | 'symlink'>, attributes: NodeAttributes): void {
    this.at(path, (directory, name) => makeNodeAt(directory, name, type, attributes))
  }

  /** Renames `from` (the link itself where it is one) to `to`. */
  rename(from: string, to: string, mode: RenameMode = 'replace'): void {
    this.at(from, (fromDirectory, name) => this.at(to, (toDirectory, newName) => renameAt(fromDirectory, name, toDirectory, newName, mode)))
  }

  /** Removes a file, a link or, with `directory: true`, an empty directory. */
  unlink(path: string, what: { readonly directory?: boolean } = {}): void {
    this.at(path, (directory, name) => unlinkAt(directory, name, what))
  }

  /** Removes `path` with everything below it, following no link and crossing no mount (EBUSY). Absent is fine; the root itself is EINVAL. */
  removeTree(path: string): void {
    this.at(path, (directory, name) => {
      if (name === '.') throw callError('EINVAL', 'unlinkat', path)
      removeTreeAt(directory, name)
    })
  }

  /** Sets permissions exactly; a link at `path` is not followed and has none (ENOTSUP). */
  chmod(path: string, mode: number): void {
    this.at(path, (directory, name) => chmodAt(directory, name, mode))
  }

  /** Sets owner and group, of a link itself. */
  chown(path: string, uid: number, gid: number): void {
    this.at(path, (directory, name) => chownAt(directory, name, uid, gid))
  }

  /** Sets times, of a link itself. */
  setTimes(path: string, times: Timestamps): void {
    this.at(path, (directory, name) => setTimesAt(directory, name, times))
  }

  /** One extended attribute, of a link itself. */
  getXattr(path: string, key: string): Buffer | undefined {
    return this.at(path, (directory, name) => getXattrAt(directory, name, key))
  }

  /** All extended attributes, of a link itself. */
  readXattrs(path: string): Map<string, Buffer> {
    return this.at(path, readXattrsAt)
  }

  /** Sets an extended attribute, of a link itself. */
  setXattr(path: string, key: string, value: Uint8Array): void {
    this.at(path, (directory, name) => setXattrAt(directory, name, { key, value }))
  }

  /** Removes an extended attribute, of a link itself. */
  removeXattr(path: string, key: string): void {
    this.at(path, (directory, name) => removeXattrAt(directory, name, key))
  }

  /** How many of the leading components lead to something. */
  #existing(parts: readonly string[]): number {
    for (let depth = parts.length; depth > 0; depth -= 1) {
      try {
        close(this.#resolve(parts.slice(0, depth), O_PATH))
        return depth
      } catch (error) {
        if (errnoOf(error) !== 'ENOENT') throw error
      }
    }
    return 0
  }

  #resolve(parts: readonly string[], flags: number): number {
    // A closed descriptor's number may be another file's by now.
    if (!this.#open) throw callError('EBADF', 'openat2', parts.join('/'))
    const path = parts.length === 0 ? '.' : parts.join('/')
    if (Buffer.byteLength(path) <= PATH_BYTES) {
      return openHow(this.#root, path, { flags, resolve: RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS })
    }
    return this.#resolveLong(parts, flags)
  }

  /**
   * Goes down in pieces. From the middle of a path the kernel no longer knows where the root is, so
   * a piece may hold neither links nor a way up.
   */
  #resolveLong(parts: readonly string[], flags: number): number {
    const pieces = piecesOf(parts)
    let directory = this.#root
    for (const [index, piece] of pieces.entries()) {
      const last = index === pieces.length - 1
      try {
        const next = openHow(directory, piece, {
          flags: last ? flags : O_PATH | O_DIRECTORY,
          resolve: RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
        })
        if (directory !== this.#root) close(directory)
        directory = next
      } catch (error) {
        if (directory !== this.#root) close(directory)
        const code = errnoOf(error)
        throw code === 'ELOOP' || code === 'EXDEV' ? callError('ENAMETOOLONG', 'openat2', parts.join('/')) : error
      }
    }
    return directory
  }
}

function componentsOf(path: string): string[] {
  return path.split('/').filter(part => part !== '' && part !== '.')
}

/** Joins components to paths that the kernel takes. */
function piecesOf(parts: readonly string[]): string[] {
  const pieces: string[] = []
  let piece = ''
  for (const part of parts) {
    if (piece !== '' && Buffer.byteLength(piece) + 1 + Buffer.byteLength(part) > PATH_BYTES) {
      pieces.push(piece)
      piece = part
    } else piece = piece === '' ? part : `${piece}/${part}`
  }
  return [...pieces, piece]
}
