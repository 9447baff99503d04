import type { ByteStream } from '../base/index.ts'
import type { Attributes, DeviceNumber, NodeType } from './entry.ts'

export interface TreeNode extends Attributes {
  readonly type: NodeType | 'socket'
  /** Bytes of content; 0 for everything but files. */
  readonly size: number
  readonly linkTarget?: string
  readonly device?: DeviceNumber
  /** Two names of one tree with the same value are hard links of each other. */
  readonly inode: string
  /** How many names the inode has, as far as the tree knows; 1 says that there is no other. */
  readonly links: number
}

/** A part of a file in bytes: `start` (default 0) up to and without `end` (default: the end). */
export interface ByteRange {
  readonly start?: number
  readonly end?: number
}

/**
 * A tree of files that can be read: a directory, a union, a mounted snapshot.
 *
 * Paths have no leading slash and no `.` or `..`; '' is the root. They name nodes exactly: nothing is
 * followed, so below a symlink (or a file) there is nothing.
 */
export interface ReadableTree {
  /** The node itself, symlinks included; undefined where there is none. */
  lstat(path: string): Promise<TreeNode | undefined>
  /** The names in a directory, sorted by their bytes; rejects when it is not a directory. */
  list(path: string): Promise<readonly string[]>
  /** Content of a regular file; the iteration rejects for anything else. Never opens special files. */
  open(path: string, range?: ByteRange): ByteStream
  close(): Promise<void>
}
