import { constants } from 'node:fs'
import {
  chmodAt,
  chmodFd,
  chownAt,
  chownFd,
  close,
  copyFile,
  CURRENT_DIRECTORY,
  linkAt,
  makeDirectoryAt,
  makeNodeAt,
  openAt,
  readDirectory,
  readlinkAt,
  readXattrsAt,
  readXattrsFd,
  setTimesAt,
  setTimesFd,
  setXattrAt,
  setXattrFd,
  type Stat,
  statAt,
  statFd,
  symlinkAt,
} from '../../host/index.ts'

const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW

/**
 * Copies what is in a directory of the store, and the directory's own attributes, into an existing
 * empty one: types, content (sharing extents where the disk can), owners, modes, times, xattrs, hard
 * links. Both trees must be left alone by others in the meantime.
 */
export function copyTree(from: string, to: string): void {
  const source = openAt(CURRENT_DIRECTORY, from, DIRECTORY)
  try {
    const target = openAt(CURRENT_DIRECTORY, to, DIRECTORY)
    try {
      new TreeCopy(target).copyDirectory(source, target, '')
    } finally {
      close(target)
    }
  } finally {
    close(source)
  }
}

class TreeCopy {
  readonly #root: number
  /** The first name of each inode that has several, below the target's root. */
  readonly #firstNames = new Map<bigint, string>()

  constructor(root: number) {
    this.#root = root
  }

  copyDirectory(source: number, target: number, path: string): void {
    for (const { name } of readDirectory(source)) this.#copyEntry(source, target, name, path === '' ? name : `${path}/${name}`)
    this.#copyAttributes(source, target, statFd(source))
  }

  #copyEntry(source: number, target: number, name: string, path: string): void {
    const stat = statAt(source, name)
    const first = stat.links > 1 && stat.type !== 'directory' ? this.#firstNames.get(stat.inode) : undefined
    if (first !== undefined) return linkAt(this.#root, first, target, name)
    if (stat.type !== 'directory' && stat.links > 1) this.#firstNames.set(stat.inode, path)
    switch (stat.type) {
      case 'directory':
        makeDirectoryAt(target, name, 0o700)
        return withPair(
          openAt(source, name, DIRECTORY),
          () => openAt(target, name, DIRECTORY),
          (from, to) => this.copyDirectory(from, to, path),
        )
      case 'file':
        return withPair(
          openAt(source, name, constants.O_RDONLY | constants.O_NOFOLLOW),
          () => openAt(target, name, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600),
          (from, to) => {
            copyFile(from, to)
            this.#copyAttributes(from, to, stat)
          },
        )
      case 'symlink':
        symlinkAt(readlinkAt(source, name), target, name)
        break
      default:
        makeNodeAt(target, name, stat.type, { mode: 0o600, device: stat.rdev })
    }
    chownAt(target, name, stat.uid, stat.gid)
    if (stat.type !== 'symlink') chmodAt(target, name, stat.mode)
    for (const [key, value] of readXattrsAt(source, name)) setXattrAt(target, name, { key, value })
    setTimesAt(target, name, { accessedAt: stat.accessedAt, modifiedAt: stat.modifiedAt })
  }

  #copyAttributes(source: number, target: number, stat: Stat): void {
    chownFd(target, stat.uid, stat.gid)
    // After the owner: changing that clears setuid and setgid, and file capabilities.
    chmodFd(target, stat.mode)
    for (const [key, value] of readXattrsFd(source)) setXattrFd(target, key, value)
    setTimesFd(target, { accessedAt: stat.accessedAt, modifiedAt: stat.modifiedAt })
  }
}

function withPair(source: number, openTarget: () => number, work: (source: number, target: number) => void): void {
  try {
    const target = openTarget()
    try {
      work(source, target)
    } finally {
      close(target)
    }
  } finally {
    close(source)
  }
}
