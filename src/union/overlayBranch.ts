import { type ByteStream, errnoOf, systemError } from '../base/index.ts'
import { close, CURRENT_DIRECTORY, openDirectoryAt, readDirectory, readlinkAt, readXattrsAt, type Stat, statAt } from '../host/index.ts'
import {
  type ByteRange,
  directoryTree,
  isOverlayXattr,
  isWhiteoutDevice,
  OPAQUE_VALUE,
  OPAQUE_XATTR,
  type ReadableTree,
} from '../layer/index.ts'
import type { Branch, BranchName, BranchNode } from './branch.ts'
import type { DirectoryHandles } from './directoryHandles.ts'
import { lastName, parentPath } from './path.ts'

/**
 * A layer directory in overlayfs's own form: 0:0 devices are whiteouts, an xattr makes directories opaque. Works
 * by descriptors of directories that stay open between calls, and never follows a link.
 */
export class OverlayBranch implements Branch {
  readonly #directory: string
  readonly #root: number
  readonly #handles: DirectoryHandles
  #files: ReadableTree | undefined

  /** @throws StrataError when the directory cannot be opened */
  constructor(directory: string, handles: DirectoryHandles) {
    this.#directory = directory
    this.#handles = handles
    try {
      this.#root = openDirectoryAt(CURRENT_DIRECTORY, directory)
    } catch (error) {
      throw systemError(`open layer directory "${directory}"`, error)
    }
  }

  async lookup(path: string): Promise<BranchNode | 'whiteout' | undefined> {
    try {
      const directory = this.#handles.get(this.#root, parentPath(path))
      return readEntry(directory, path === '' ? '.' : lastName(path))
    } catch (error) {
      const errno = errnoOf(error)
      if (errno === 'ENOENT' || errno === 'ENOTDIR' || errno === 'ELOOP') return undefined
      throw systemError(`read "${path}"`, error)
    }
  }

  async names(path: string): Promise<readonly BranchName[]> {
    try {
      const directory = this.#handles.get(this.#root, path)
      return readDirectory(directory).map(({ name, type }) => ({
        name,
        whiteout: (type === 'character' || type === undefined) && isWhiteout(statAt(directory, name)),
      }))
    } catch (error) {
      throw systemError(`list "${path}"`, error)
    }
  }

  open(path: string, range?: ByteRange): ByteStream {
    this.#files ??= directoryTree(this.#directory)
    return this.#files.open(path, range)
  }

  async close(): Promise<void> {
    this.#handles.clear()
    close(this.#root)
    await this.#files?.close()
  }
}

function readEntry(directory: number, name: string): BranchNode | 'whiteout' {
  const stat = statAt(directory, name)
  if (isWhiteout(stat)) return 'whiteout'
  const { type, mode, uid, gid, modifiedAt } = stat
  const xattrs = readXattrsAt(directory, name)
  const opaque = type === 'directory' && xattrs.get(OPAQUE_XATTR)?.equals(OPAQUE_VALUE) === true
  for (const key of xattrs.keys()) if (isOverlayXattr(key)) xattrs.delete(key)
  return {
    type,
    mode,
    uid,
    gid,
    modifiedAt,
    xattrs,
    size: type === 'file' ? stat.size : 0,
    ...(type === 'symlink' ? { linkTarget: readlinkAt(directory, name) } : {}),
    ...(type === 'character' || type === 'block' ? { device: stat.rdev } : {}),
    ...(opaque ? { opaque } : {}),
    inode: `${stat.device.major}:${stat.device.minor}:${stat.inode}`,
    links: type === 'directory' ? 1 : stat.links,
  }
}

function isWhiteout({ type, rdev }: Stat): boolean {
  return isWhiteoutDevice({ type, device: rdev })
}
