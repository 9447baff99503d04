import type { ByteStream } from '../base/index.ts'
import type { ByteRange, TreeNode } from '../layer/index.ts'

/** A node as one branch has it. */
export interface BranchNode extends TreeNode {
  /** A directory that takes its attributes from the directory below it, where there is one. */
  readonly implied?: boolean
  /** A directory that hides everything that the branches below have in it. */
  readonly opaque?: boolean
}

/** A name in a directory of one branch. */
export interface BranchName {
  readonly name: string
  /** The name hides what the branches below have under it, and shows nothing itself. */
  readonly whiteout: boolean
}

/**
 * One of the trees that a union merges. What marks deletions in it is the branch's own affair; here it is
 * said in words. Values of `inode` are distinct across all branches that may ever meet in one union.
 */
export interface Branch {
  /** What stands at exactly this path; undefined where the branch has nothing to say. */
  lookup(path: string): Promise<BranchNode | 'whiteout' | undefined>
  /** What the branch has in one of its directories, in any order. */
  names(path: string): Promise<Iterable<BranchName>>
  /** Content of a regular file. */
  open(path: string, range?: ByteRange): ByteStream
  close(): Promise<void>
}
