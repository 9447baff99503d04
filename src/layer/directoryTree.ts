import { constants } from 'node:fs'
import { type ByteStream, compareFileNames, errnoOf, systemError } from '../base/index.ts'
import {
  close,
  type ConfinedRoot,
  CURRENT_DIRECTORY,
  O_PATH,
  openAt,
  openBeneath,
  readDirectory,
  readlinkAt,
  readXattrsAt,
  type Stat,
  statAt,
} from '../host/index.ts'
import { fileContent } from './fileContent.ts'
import { quotePath } from './layerPath.ts'
import { inDirectory, splitLast } from './lowerStack.ts'
import type { ByteRange, ReadableTree, TreeNode } from './tree.ts'

/**
 * The tree in a directory of the host, exactly as it is on disk: also 0:0 devices and the xattrs of
 * overlayfs are shown. Every call goes down from the root's descriptor without following a link.
 *
 * @param showsXattr which xattrs are shown, by key; default all
 */
export function directoryTree(root: string | ConfinedRoot, showsXattr?: (key: string) => boolean): ReadableTree {
  const fd = typeof root === 'string' ? openAt(CURRENT_DIRECTORY, root, O_PATH | constants.O_DIRECTORY) : root.openPath('')
  return new DirectoryTree(fd, showsXattr)
}

class DirectoryTree implements ReadableTree {
  readonly #root: number
  readonly #showsXattr: ((key: string) => boolean) | undefined
  #open = true

  constructor(root: number, showsXattr: ((key: string) => boolean) | undefined) {
    this.#root = root
    this.#showsXattr = showsXattr
  }

  async lstat(path: string): Promise<TreeNode | undefined> {
    const { directory, name } = splitLast(path)
    try {
      return inDirectory(this.#root, directory, fd => readNode(fd, path === '' ? '.' : name, this.#showsXattr))
    } catch (error) {
      const errno = errnoOf(error)
      if (errno === 'ENOENT' || errno === 'ENOTDIR' || errno === 'ELOOP') return undefined
      throw systemError(`read ${quotePath(path)}`, error)
    }
  }

  async list(path: string): Promise<readonly string[]> {
    try {
      const fd = openBeneath(this.#root, path, constants.O_RDONLY | constants.O_DIRECTORY)
      try {
        return readDirectory(fd)
          .map(entry => entry.name)
          .sort(compareFileNames)
      } finally {
        close(fd)
      }
    } catch (error) {
      throw systemError(`list ${quotePath(path)}`, error)
    }
  }

  open(path: string, range?: ByteRange): ByteStream {
    return fileContent(this.#root, path, range)
  }

  async close(): Promise<void> {
    if (this.#open) close(this.#root)
    this.#open = false
  }
}

function readNode(directory: number, name: string, showsXattr: ((key: string) => boolean) | undefined): TreeNode {
  const stat = statAt(directory, name)
  return {
    type: stat.type,
    mode: stat.mode,
    uid: stat.uid,
    gid: stat.gid,
    modifiedAt: stat.modifiedAt,
    xattrs: readXattrsAt(directory, name, showsXattr),
    size: stat.type === 'file' ? stat.size : 0,
    ...(stat.type === 'symlink' ? { linkTarget: readlinkAt(directory, name) } : {}),
    ...(stat.type === 'character' || stat.type === 'block' ? { device: stat.rdev } : {}),
    inode: inodeOf(stat),
    links: stat.type === 'directory' ? 1 : stat.links,
  }
}

function inodeOf({ device, inode }: Stat): string {
  return `${device.major}:${device.minor}:${inode}`
}
