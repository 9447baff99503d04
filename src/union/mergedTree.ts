import { type ByteStream, systemError } from '../base/index.ts'
import type { ByteRange, ReadableTree, TreeNode } from '../layer/index.ts'
import type { Branch, BranchNode } from './branch.ts'
import { DirectoryCache, type MergedDirectory } from './directoryCache.ts'
import { fileError } from './fileError.ts'
import { lastName, parentPath, sortedNames } from './path.ts'

/** A node of the merged tree, and the number of the branch that it comes from. */
export interface MergedNode {
  readonly node: TreeNode
  readonly branch: number
}

/**
 * What branches show together, the top one first: a name is looked up from the top down, directories
 * merge until something that is no directory, a whiteout, or an opaque directory ends them.
 * kernel overlayfs.rst, "Merged directories", "whiteouts and opaque directories"
 *
 * What was learned of a directory is believed until `forget`, so the branches have to keep still.
 */
export class MergedTree implements ReadableTree {
  readonly #branches: readonly Branch[]
  readonly #directories = new DirectoryCache()
  readonly #all: readonly number[]
  #open = true

  /** @param branches top first; the tree closes them */
  constructor(branches: readonly Branch[]) {
    this.#branches = branches
    this.#all = branches.map((_, at) => at)
  }

  async lstat(path: string): Promise<TreeNode | undefined> {
    return (await this.find(path))?.node
  }

  async list(path: string): Promise<readonly string[]> {
    const directory = await this.directory(path)
    if (directory === undefined) {
      throw systemError(`list ${JSON.stringify(path)}`, fileError((await this.find(path)) ? 'ENOTDIR' : 'ENOENT', 'list', path))
    }
    return sortedNames((await this.#names(path, directory)).keys())
  }

  async *open(path: string, range?: ByteRange): AsyncGenerator<Uint8Array> {
    yield* await this.content(path, range)
  }

  async close(): Promise<void> {
    if (!this.#open) return
    this.#open = false
    this.#directories.clear()
    for (const branch of this.#branches) await branch.close()
  }

  /** As `open`, but rejects at once for what cannot be read. */
  async content(path: string, range?: ByteRange): Promise<ByteStream> {
    const found = await this.find(path)
    if (found === undefined) throw systemError(`read ${JSON.stringify(path)}`, fileError('ENOENT', 'open', path))
    return this.#branches[found.branch]!.open(path, range)
  }

  /** Opens the content that one branch has, whatever the others show by then. */
  contentOf(path: string, branch: number): (range: ByteRange) => ByteStream {
    return range => this.#branches[branch]!.open(path, range)
  }

  /** What stands at a path, and which branch has it. */
  async find(path: string): Promise<MergedNode | undefined> {
    return this.#findIn(await this.#candidates(path), path)
  }

  /** As `find`, in what the branches from number `first` on show where those above it let them. */
  async findBelow(path: string, first: number): Promise<MergedNode | undefined> {
    const candidates = path === '' ? this.#all : ((await this.directory(parentPath(path)))?.branches ?? [])
    return this.#findIn(
      candidates.filter(at => at >= first),
      path,
    )
  }

  /** The branches whose directories are merged at a path; undefined where no directory stands. */
  async directory(path: string): Promise<MergedDirectory | undefined> {
    const known = this.#directories.get(path)
    if (known !== undefined) return known
    const branches: number[] = []
    for (const at of await this.#candidates(path)) {
      const entry = await this.#branches[at]!.lookup(path)
      if (entry === undefined) continue
      if (entry === 'whiteout' || entry.type !== 'directory') break
      branches.push(at)
      if (entry.opaque === true) break
    }
    if (branches.length === 0) return undefined
    return this.#directories.set(path, { branches })
  }

  /** Unlearns all about a path, what is below it, and the names beside it. */
  forget(path: string): void {
    this.#directories.delete(path)
  }

  /** The branches that may have something to say about a path, top first. */
  async #candidates(path: string): Promise<readonly number[]> {
    if (path === '') return this.#all
    const parent = await this.directory(parentPath(path))
    if (parent?.names === undefined) return parent?.branches ?? []
    const first = parent.names.get(lastName(path))
    return first === undefined ? [] : parent.branches.filter(at => at >= first)
  }

  async #findIn(candidates: readonly number[], path: string): Promise<MergedNode | undefined> {
    let top: { readonly node: BranchNode; readonly branch: number } | undefined
    for (const branch of candidates) {
      const entry = await this.#branches[branch]!.lookup(path)
      if (entry === undefined) continue
      if (entry === 'whiteout') return top
      if (top === undefined) {
        if (entry.type !== 'directory' || entry.implied !== true) return { node: entry, branch }
        top = { node: entry, branch }
      } else if (entry.type !== 'directory') return top
      else if (entry.implied !== true) {
        const { mode, uid, gid, modifiedAt, xattrs } = entry
        return { node: { ...top.node, mode, uid, gid, modifiedAt, xattrs }, branch: top.branch }
      }
    }
    return top
  }

  async #names(path: string, directory: MergedDirectory): Promise<ReadonlyMap<string, number>> {
    if (directory.names !== undefined) return directory.names
    const names = new Map<string, number>()
    const hidden = new Set<string>()
    for (const at of directory.branches) {
      for (const { name, whiteout } of await this.#branches[at]!.names(path)) {
        if (names.has(name) || hidden.has(name)) continue
        if (whiteout) hidden.add(name)
        else names.set(name, at)
      }
    }
    this.#directories.set(path, { branches: directory.branches, names })
    return names
  }
}
