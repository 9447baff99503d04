import { constants } from 'node:fs'
import { type ByteStream, errnoOf } from '../base/index.ts'
import {
  chmodAt,
  chownAt,
  close,
  ConfinedRoot,
  makeNodeAt,
  openAt,
  removeXattrAt,
  setTimesAt,
  setXattrAt,
  statAt,
  symlinkAt,
  truncate,
  unlinkAt,
  writeAll,
} from '../host/index.ts'
import { type ByteRange, directoryTree, type ReadableTree, type TreeNode } from '../layer/index.ts'
import type { AttributeChanges, FileSource, NewNode, WritableTree } from './writableTree.ts'

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants

/**
 * A directory of the host as a tree that can be changed, for whoever may set what is to be set: owners, devices and
 * `trusted.` xattrs need root. The upper directory of an overlayfs that is not mounted, for one. Nothing is synced.
 */
export class WritableDirectory implements WritableTree {
  readonly #root: ConfinedRoot
  readonly #tree: ReadableTree

  /** @param directory its attributes are those of the tree's root */
  constructor(directory: string) {
    this.#root = new ConfinedRoot(directory)
    this.#tree = directoryTree(this.#root)
  }

  lstat(path: string): Promise<TreeNode | undefined> {
    return this.#tree.lstat(path)
  }

  list(path: string): Promise<readonly string[]> {
    return this.#tree.list(path)
  }

  open(path: string, range?: ByteRange): ByteStream {
    return this.#tree.open(path, range)
  }

  async close(): Promise<void> {
    await this.#tree.close()
    this.#root.close()
  }

  async create(path: string, node: NewNode): Promise<void> {
    const { type, mode, uid = 0, gid = 0, modifiedAt, xattrs = [] } = node
    // Nobody else may use it before it has its owner and mode.
    if (type === 'file') await this.#createFile(path, node.content)
    else if (type === 'directory') this.#root.makeDirectory(path, 0o700)
    else if (type === 'symlink') this.#root.at(path, (directory, name) => symlinkAt(node.linkTarget, directory, name))
    else {
      const device = 'device' in node ? node.device : undefined
      this.#root.at(path, (directory, name) => makeNodeAt(directory, name, type, { mode: 0, device }))
    }
    this.#root.at(path, (directory, name) => {
      chownAt(directory, name, uid, gid)
      if (type !== 'symlink') chmodAt(directory, name, mode)
      for (const [key, value] of xattrs) setXattrAt(directory, name, { key, value })
      if (modifiedAt !== undefined) setTimesAt(directory, name, { modifiedAt })
    })
  }

  async link(existing: string, path: string): Promise<void> {
    this.#root.link(existing, path)
  }

  async remove(path: string): Promise<void> {
    this.#root.at(path, (directory, name) => unlinkAt(directory, name, { directory: statAt(directory, name).type === 'directory' }))
  }

  async rename(from: string, to: string): Promise<void> {
    this.#root.rename(from, to, 'noReplace')
  }

  async setAttributes(path: string, changes: AttributeChanges): Promise<void> {
    this.#root.at(path, (directory, name) => {
      const { uid, gid, mode, modifiedAt } = changes
      if (uid !== undefined || gid !== undefined) {
        const present = statAt(directory, name)
        chownAt(directory, name, uid ?? present.uid, gid ?? present.gid)
      }
      if (mode !== undefined && statAt(directory, name).type !== 'symlink') chmodAt(directory, name, mode)
      if (modifiedAt !== undefined) setTimesAt(directory, name, { modifiedAt })
    })
  }

  async setXattr(path: string, key: string, value: Uint8Array | undefined): Promise<void> {
    this.#root.at(path, (directory, name) => {
      if (value !== undefined) return setXattrAt(directory, name, { key, value })
      try {
        removeXattrAt(directory, name, key)
      } catch (error) {
        if (errnoOf(error) !== 'ENODATA') throw error
      }
    })
  }

  async write(path: string, position: number, bytes: Uint8Array): Promise<void> {
    this.#withFile(path, fd => writeAll(fd, bytes, position))
  }

  async truncate(path: string, size: number): Promise<void> {
    this.#withFile(path, fd => truncate(fd, size))
  }

  #withFile(path: string, use: (fd: number) => void): void {
    const fd = this.#root.at(path, (directory, name) => openAt(directory, name, O_WRONLY | O_NOFOLLOW))
    try {
      use(fd)
    } finally {
      close(fd)
    }
  }

  async #createFile(path: string, content: FileSource | undefined): Promise<void> {
    const flags = O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW
    const fd = this.#root.at(path, (directory, name) => openAt(directory, name, flags, 0o600))
    try {
      if (content === undefined || content.size === 0) return
      let at = 0
      for await (const chunk of content.open({ end: content.size })) {
        // Zeros become holes.
        if (chunk.some(byte => byte !== 0)) writeAll(fd, chunk, at)
        at += chunk.length
      }
      truncate(fd, content.size)
    } finally {
      close(fd)
    }
  }
}
