import { TimeSlices } from '../../base/index.ts'
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
  openDirectoryAt,
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

/**
 * Copies what is in a directory of the store, and the directory's own attributes, into an existing
 * empty one: types, content (sharing extents where the disk can, holes stay holes), owners, modes,
 * times, xattrs, hard links. Both trees must be left alone by others in the meantime.
 */
export async function copyTree(from: string, to: string): Promise<void> {
  const source = openDirectoryAt(CURRENT_DIRECTORY, from)
  try {
    const target = openDirectoryAt(CURRENT_DIRECTORY, to)
    try {
      await new TreeCopy(target).copyDirectory(source, target, '')
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
  readonly #slices = new TimeSlices()

  /** @param root the target's root */
  constructor(root: number) {
    this.#root = root
  }

  async copyDirectory(source: number, target: number, path: string): Promise<void> {
    for (const { name, type } of readDirectory(source)) {
      const below = path === '' ? name : `${path}/${name}`
      // Types are not told by every file system; then the attributes tell.
      if (type === 'directory' || (type === undefined && statAt(source, name).type === 'directory')) {
        await this.#copySubdirectory(source, target, { name, path: below })
      } else this.#copyEntry(source, target, { name, path: below })
      if (this.#slices.over) await this.#slices.next()
    }
    // After what is in it: new names change a directory's time.
    copyAttributesFd(source, target, statFd(source))
  }

  async #copySubdirectory(source: number, target: number, { name, path }: Place): Promise<void> {
    makeDirectoryAt(target, name, 0o700)
    const from = openDirectoryAt(source, name)
    try {
      const to = openDirectoryAt(target, name)
      try {
        await this.copyDirectory(from, to, path)
      } finally {
        close(to)
      }
    } finally {
      close(from)
    }
  }

  #copyEntry(source: number, target: number, { name, path }: Place): void {
    const stat = statAt(source, name)
    if (stat.links > 1) {
      const first = this.#firstNames.get(stat.inode)
      if (first !== undefined) {
        linkAt(this.#root, first, target, name)
        return
      }
      this.#firstNames.set(stat.inode, path)
    }
    switch (stat.type) {
      case 'file':
        copyContent(source, target, { name, stat })
        return
      case 'symlink':
        symlinkAt(readlinkAt(source, name), target, name)
        chownAt(target, name, stat.uid, stat.gid)
        break
      case 'directory':
        return
      default:
        makeNodeAt(target, name, stat.type, { mode: 0o600, device: stat.rdev })
        chownAt(target, name, stat.uid, stat.gid)
        chmodAt(target, name, stat.mode)
    }
    for (const [key, value] of readXattrsAt(source, name)) setXattrAt(target, name, { key, value })
    setTimesAt(target, name, { accessedAt: stat.accessedAt, modifiedAt: stat.modifiedAt })
  }
}

interface Place {
  readonly name: string
  /** Below the root of the tree. */
  readonly path: string
}

function copyContent(source: number, target: number, { name, stat }: { readonly name: string; readonly stat: Stat }): void {
  const from = openAt(source, name, constants.O_RDONLY | constants.O_NOFOLLOW)
  try {
    const to = openAt(target, name, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600)
    try {
      if (stat.size > 0) copyFile(from, to)
      copyAttributesFd(from, to, stat)
    } finally {
      close(to)
    }
  } finally {
    close(from)
  }
}

function copyAttributesFd(source: number, target: number, stat: Stat): void {
  chownFd(target, stat.uid, stat.gid)
  // After the owner: changing that clears setuid and setgid, and file capabilities.
  chmodFd(target, stat.mode)
  for (const [key, value] of readXattrsFd(source)) setXattrFd(target, key, value)
  setTimesFd(target, { accessedAt: stat.accessedAt, modifiedAt: stat.modifiedAt })
}
