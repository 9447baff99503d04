import { constants, realpathSync } from 'node:fs'
import { posix } from 'node:path'
import { compareFileNames, StrataError } from '../../base/index.ts'
import { close, CURRENT_DIRECTORY, O_PATH, openAt, openBeneath, statFd } from '../../host/index.ts'
import { directoryTree, type ReadableTree, type TreeNode } from '../../layer/index.ts'

/** Something of the host that is seen at a place of the tree. */
export interface MountedPlace {
  /** Without a leading slash; '' for the root. */
  readonly path: string
  /** A directory or a regular file of the host. */
  readonly source: string
  readonly readOnly: boolean
}

interface Branch {
  readonly path: string
  readonly readOnly: boolean
  readonly tree: ReadableTree
  /** A descriptor of the directory that `tree` shows. */
  readonly root: number
  /** Set when the place is a file: its name in `root`. */
  readonly file: string | undefined
}

/** Docker's and the kernel's bound on links that one path goes through. */
const LINK_LIMIT = 40

/** Where a path leads. */
export interface ResolvedPath {
  /** Without links, `.` and `..`, and without a leading slash; '' is the root. */
  readonly path: string
  /** undefined when there is nothing of that name in an existing directory. */
  readonly node: TreeNode | undefined
}

/**
 * A tree of files as a process in it would see it: a root directory, with other directories and files
 * of the host mounted in it, though nothing is mounted. Nothing leads out: links are resolved here,
 * component by component, and what is read or written is then opened by the kernel from a held
 * descriptor without following any link. Who swaps a link in meanwhile gets an error.
 */
export class MountedTree implements ReadableTree {
  /** The longest path first, so that the first prefix is the nearest mount. */
  readonly #branches: readonly Branch[]

  /** @param places the root among them; a place that does not exist is left out */
  constructor(places: readonly MountedPlace[]) {
    const branches: Branch[] = []
    try {
      for (const place of places) {
        const branch = openBranch(place)
        if (branch !== undefined) branches.push(branch)
      }
    } catch (error) {
      for (const { root } of branches) close(root)
      throw error
    }
    this.#branches = branches.sort((a, b) => b.path.length - a.path.length)
  }

  async lstat(path: string): Promise<TreeNode | undefined> {
    return (await this.#present(path)) ?? (this.#mountedBelow(path).length > 0 ? wayToAMount(path) : undefined)
  }

  async list(path: string): Promise<readonly string[]> {
    const { branch, rest } = this.#locate(path)
    const below = this.#mountedBelow(path)
    const isMade = below.length === 0 || (await this.#present(path)) !== undefined
    const names = isMade ? await branch.tree.list(branch.file === undefined ? rest : branch.file) : []
    return [...new Set([...names, ...below])].sort(compareFileNames)
  }

  open(path: string, range?: Parameters<ReadableTree['open']>[1]): ReturnType<ReadableTree['open']> {
    const { branch, rest } = this.#locate(path)
    return branch.tree.open(branch.file ?? rest, range)
  }

  async close(): Promise<void> {
    for (const { tree, root } of this.#branches) {
      await tree.close()
      close(root)
    }
  }

  /**
   * Follows a path as a process would; absolute or not, it starts at `from`. What lies beyond the root
   * is the root.
   *
   * Rejects with `notFound` when a directory on the way is not there, `invalidArgument` when something on the way is no
   * directory or there are too many links.
   */
  async resolve(path: string, options: { readonly followLast: boolean; readonly from?: string }): Promise<ResolvedPath> {
    const parts = path.split('/').toReversed()
    let at = options.from ?? ''
    let node = await this.lstat(at)
    let links = 0
    while (parts.length > 0) {
      const part = parts.pop()!
      if (part === '' || part === '.') continue
      if (node === undefined) throw notFound(path)
      if (node.type !== 'directory') throw invalid(path, `"/${at}" is not a directory`)
      if (part === '..') {
        at = parentOf(at)
        node = await this.lstat(at)
        continue
      }
      const next = at === '' ? part : `${at}/${part}`
      const found = await this.lstat(next)
      const isLast = parts.every(rest => rest === '' || rest === '.')
      // A slash after a link asks for what it leads to.
      if (found?.type === 'symlink' && (!isLast || options.followLast || parts.length > 0)) {
        links += 1
        if (links > LINK_LIMIT) throw invalid(path, 'too many levels of symbolic links')
        const target = found.linkTarget ?? ''
        if (target.startsWith('/')) at = ''
        node = await this.lstat(at)
        parts.push(...target.split('/').toReversed())
        continue
      }
      at = next
      node = found
    }
    return { path: at, node }
  }

  /**
   * A descriptor of the directory at exactly this path, to make entries in. The caller closes it.
   * Rejects with `permissionDenied` in a place that is mounted read-only.
   */
  openDirectory(path: string): number {
    const { branch, rest } = this.#locate(path)
    if (branch.readOnly) {
      throw new StrataError('permissionDenied', 'STRATA_READ_ONLY', `Cannot write to "/${path}": it is mounted read-only in the container`)
    }
    if (branch.file !== undefined) throw invalid(path, 'it is not a directory')
    return openBeneath(branch.root, rest, O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW)
  }

  /** Whether something is mounted exactly here: then it can be neither replaced nor removed. */
  isMounted(path: string): boolean {
    return this.#branches.some(branch => branch.path === path)
  }

  async #present(path: string): Promise<TreeNode | undefined> {
    const { branch, rest } = this.#locate(path)
    if (branch.file === undefined) return branch.tree.lstat(rest)
    return rest === '' ? branch.tree.lstat(branch.file) : undefined
  }

  /** The names in a directory that lead to mounts: they are seen also where nobody has made their place yet, as in a container that was never started. */
  #mountedBelow(path: string): readonly string[] {
    const prefix = path === '' ? '' : `${path}/`
    return this.#branches.flatMap(each =>
      each.path !== '' && each.path.startsWith(prefix) && each.path !== path ? [each.path.slice(prefix.length).split('/')[0]!] : [],
    )
  }

  #locate(path: string): { readonly branch: Branch; readonly rest: string } {
    for (const branch of this.#branches) {
      if (branch.path === '') return { branch, rest: path }
      if (path === branch.path) return { branch, rest: '' }
      if (path.startsWith(`${branch.path}/`)) return { branch, rest: path.slice(branch.path.length + 1) }
    }
    throw new StrataError('internal', 'STRATA_INTERNAL', `Cannot find "/${path}": the tree has no root`)
  }
}

/** The start makes such directories. */
function wayToAMount(path: string): TreeNode {
  const [mode, modifiedAt] = [0o755, { seconds: 0, nanoseconds: 0 }]
  return { type: 'directory', mode, uid: 0, gid: 0, size: 0, modifiedAt, xattrs: new Map(), inode: `way to a mount: ${path}`, links: 1 }
}

export function parentOf(path: string): string {
  const slash = path.lastIndexOf('/')
  return slash === -1 ? '' : path.slice(0, slash)
}

function openBranch({ path, source, readOnly }: MountedPlace): Branch | undefined {
  let held: number
  try {
    held = openAt(CURRENT_DIRECTORY, source, O_PATH)
  } catch (error) {
    if (path !== '' && error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
  try {
    const { type } = statFd(held)
    if (type === 'directory') {
      const pinned = openAt(CURRENT_DIRECTORY, `/proc/self/fd/${held}`, O_PATH | constants.O_DIRECTORY)
      return { path, readOnly, tree: directoryTree(`/proc/self/fd/${pinned}`), root: pinned, file: undefined }
    }
    // A mount is made on what a link leads to.
    const real = realpathSync(source)
    const directory = posix.dirname(real)
    const root = openAt(CURRENT_DIRECTORY, directory, O_PATH | constants.O_DIRECTORY)
    return { path, readOnly, tree: directoryTree(`/proc/self/fd/${root}`), root, file: posix.basename(real) }
  } finally {
    close(held)
  }
}

function notFound(path: string): StrataError {
  return new StrataError('notFound', 'STRATA_ENOENT', `Cannot find "${path}": no such file or directory`)
}

function invalid(path: string, state: string): StrataError {
  return new StrataError('invalidArgument', 'STRATA_INVALID_PATH', `Cannot use path "${path}": ${state}`)
}
