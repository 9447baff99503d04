import type { IgnorePatterns } from '../dockerfile/index.ts'
import { directoryTree, type ReadableTree, type TreeNode } from '../layer/index.ts'
import { joined } from './treePaths.ts'

/**
 * The files of a directory as a build sees them: without what its `.dockerignore` leaves out, and with nobody's owners and xattrs,
 * which differ from one checkout to the next.
 */
export function contextTree(directory: string, ignored: IgnorePatterns): ReadableTree {
  return new ContextTree(
    directoryTree(directory, () => false),
    ignored,
  )
}

class ContextTree implements ReadableTree {
  readonly #tree: ReadableTree
  readonly #ignored: IgnorePatterns

  constructor(tree: ReadableTree, ignored: IgnorePatterns) {
    this.#tree = tree
    this.#ignored = ignored
  }

  async lstat(path: string): Promise<TreeNode | undefined> {
    const node = await this.#tree.lstat(path)
    if (node === undefined || path === '') return node && anonymous(node)
    if (!this.#ignored.ignores(path)) return anonymous(node)
    // An exception may bring something in it back.
    return node.type === 'directory' && this.#ignored.hasExceptions && (await this.#hasContent(path)) ? anonymous(node) : undefined
  }

  async list(path: string): Promise<readonly string[]> {
    const names: string[] = []
    for (const name of await this.#tree.list(path)) if ((await this.lstat(joined(path, name))) !== undefined) names.push(name)
    return names
  }

  open(...given: Parameters<ReadableTree['open']>): ReturnType<ReadableTree['open']> {
    return this.#tree.open(...given)
  }

  close(): Promise<void> {
    return this.#tree.close()
  }

  async #hasContent(path: string): Promise<boolean> {
    for (const name of await this.#tree.list(path)) if ((await this.lstat(joined(path, name))) !== undefined) return true
    return false
  }
}

const anonymous = (node: TreeNode): TreeNode => ({ ...node, uid: 0, gid: 0 })
