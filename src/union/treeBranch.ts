import type { ByteStream } from '../base/index.ts'
import {
  type ByteRange,
  isOverlayXattr,
  isWhiteoutDevice,
  OPAQUE_VALUE,
  OPAQUE_XATTR,
  type ReadableTree,
  type TreeNode,
} from '../layer/index.ts'
import type { Branch, BranchName, BranchNode } from './branch.ts'
import { childPath } from './path.ts'

/** Reads the marks of overlayfs's form (0:0 devices, xattrs) in any tree. */
export class TreeBranch implements Branch {
  readonly #tree: ReadableTree
  readonly #marks: boolean

  /** @param marks whether the marks mean something; if not, they are not shown either */
  constructor(tree: ReadableTree, marks: boolean) {
    this.#tree = tree
    this.#marks = marks
  }

  async lookup(path: string): Promise<BranchNode | 'whiteout' | undefined> {
    const node = await this.#tree.lstat(path)
    if (node === undefined) return undefined
    if (isWhiteoutDevice(node)) return this.#marks ? 'whiteout' : undefined
    return withoutMarks(node, this.#marks)
  }

  async names(path: string): Promise<readonly BranchName[]> {
    const names: BranchName[] = []
    for (const name of await this.#tree.list(path)) {
      const entry = await this.lookup(childPath(path, name))
      if (entry !== undefined) names.push({ name, whiteout: entry === 'whiteout' })
    }
    return names
  }

  open(path: string, range?: ByteRange): ByteStream {
    return this.#tree.open(path, range)
  }

  close(): Promise<void> {
    return this.#tree.close()
  }
}

function withoutMarks(node: TreeNode, marks: boolean): BranchNode {
  const keys = [...node.xattrs.keys()]
  if (!keys.some(isOverlayXattr)) return node
  const opaque = node.xattrs.get(OPAQUE_XATTR)
  const isOpaque = marks && node.type === 'directory' && opaque !== undefined && Buffer.compare(opaque, OPAQUE_VALUE) === 0
  const xattrs = new Map([...node.xattrs].filter(([key]) => !isOverlayXattr(key)))
  return { ...node, xattrs, ...(isOpaque ? { opaque: true } : {}) }
}
