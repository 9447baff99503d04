import { StrataError } from '../base/index.ts'
import type { ReadableTree, TreeNode } from '../layer/index.ts'
import type { NewNode, Union } from '../union/index.ts'
import type { ModeChange } from './fileMode.ts'
import type { FoundSource } from './sourcePaths.ts'
import { joined, resolvePath } from './treePaths.ts'

export interface Owner {
  readonly uid: number
  readonly gid: number
}

export interface CopyRequest {
  /** What files are put into: the writable branch of a union becomes the layer. */
  readonly target: Union
  /** Absolute, in the target. A slash at its end says that it is a directory. */
  readonly destination: string
  /** Whom everything belongs to; undefined keeps each owner. */
  readonly owner: Owner | undefined
  readonly mode: ModeChange | undefined
  /** Whether the folders above each source are kept. */
  readonly parents: boolean
  /** Tells whether something is left out: of a directory by its path in there, of a file by its name. */
  readonly isExcluded: (path: string) => boolean
  /** Whether there are more sources than these, so that the destination is a directory. Default: whether these are several. */
  readonly isOneOfMany?: boolean
  /** Time of directories that are made on the way. */
  readonly now: TreeNode['modifiedAt']
}

/**
 * Copies what COPY and ADD name: of a directory what is in it, of anything else the thing itself. Directories on the way are made,
 * with mode 0755; those that are there stay as they are, but for ones that the source has, too.
 * Dockerfile reference, COPY, "Source", "Destination".
 *
 * Rejects with `invalidArgument` (STRATA_COPY_CONFLICT) where a file would replace a directory, or the other way round.
 */
export async function copyFiles(tree: ReadableTree, sources: readonly FoundSource[], request: CopyRequest): Promise<void> {
  const copy = new Copy(tree, request)
  for (const source of sources) await copy.one(source, request.isOneOfMany ?? sources.length > 1)
}

/** What every kernel shows of a link, whatever an archive says. */
const LINK_MODE = 0o777

class Copy {
  readonly #tree: ReadableTree
  readonly #request: CopyRequest
  /** Where the first name of an inode of the source that has several went. */
  readonly #firstNames = new Map<string, string>()

  constructor(tree: ReadableTree, request: CopyRequest) {
    this.#tree = tree
    this.#request = request
  }

  async one(source: FoundSource, isOneOfMany: boolean): Promise<void> {
    const { destination, parents } = this.#request
    const node = (await this.#tree.lstat(source.path))!
    const slash = source.written.lastIndexOf('/')
    const above = parents && slash > 0 ? source.written.slice(0, slash) : ''
    if (node.type === 'directory') {
      const own = parents ? joined(above, source.name) : ''
      const target = await this.#directory(own === '' ? destination : `${destination}/${own}`, node)
      await this.#content({ from: source.path, to: target, below: '' })
      return
    }
    if (this.#request.isExcluded(source.name)) return
    const isInside = isOneOfMany || parents || destination.endsWith('/') || (await this.#isDirectory(destination))
    const directory = isInside ? `${destination}/${above}` : destination.slice(0, destination.lastIndexOf('/'))
    const name = isInside ? source.name : destination.slice(destination.lastIndexOf('/') + 1)
    await this.#put(source.path, node, joined(await this.#directory(directory), name))
  }

  async #isDirectory(path: string): Promise<boolean> {
    return (await resolvePath(this.#request.target, path, { last: true })).node?.type === 'directory'
  }

  /** Makes a directory and those above it, where they are not there. @param like what the last one is a copy of; resolves with its path */
  async #directory(path: string, like?: TreeNode): Promise<string> {
    const { target, now, owner } = this.#request
    let at = ''
    const names = path.split('/').filter(name => name !== '' && name !== '.')
    for (const [index, name] of names.entries()) {
      const { path: here, node } = await resolvePath(target, joined(at, name), { last: true })
      at = here
      if (node?.type === 'directory') continue
      if (node !== undefined) throw conflict(here, 'it is no directory')
      const model = index === names.length - 1 ? like : undefined
      if (model === undefined) await target.create(here, { type: 'directory', mode: 0o755, modifiedAt: now, ...owner })
      else await target.create(here, this.#nodeOf(model, here))
    }
    return at
  }

  /** @param below where `from` is in its source */
  async #content({ from, to, below }: { readonly from: string; readonly to: string; readonly below: string }): Promise<void> {
    for (const name of await this.#tree.list(from)) {
      const path = joined(from, name)
      const inSource = joined(below, name)
      const node = await this.#tree.lstat(path)
      if (node === undefined || this.#request.isExcluded(inSource)) continue
      const target = joined(to, name)
      if (node.type !== 'directory') {
        await this.#put(path, node, target)
        continue
      }
      await this.#sameDirectory(node, target)
      await this.#content({ from: path, to: target, below: inSource })
      // What was put into it has changed its time.
      await this.#request.target.setModifiedAt(target, node.modifiedAt)
    }
  }

  /** A directory that the source has, too, becomes as it is there. */
  async #sameDirectory(node: TreeNode, path: string): Promise<void> {
    const { target } = this.#request
    const present = await target.lstat(path)
    const made = this.#nodeOf(node, path)
    if (present === undefined) {
      await target.create(path, made)
      return
    }
    if (present.type !== 'directory') throw conflict(path, 'it is no directory')
    await target.chown(path, made.uid ?? node.uid, made.gid ?? node.gid)
    await target.chmod(path, made.mode)
    for (const [key, value] of node.xattrs) await target.setXattr(path, key, value)
  }

  async #put(path: string, node: TreeNode, to: string): Promise<void> {
    if (node.type === 'socket') return
    const { target } = this.#request
    const present = await target.lstat(to)
    if (present?.type === 'directory') throw conflict(to, 'it is a directory')
    if (present !== undefined) await target.unlink(to)
    const first = node.links > 1 ? this.#firstNames.get(node.inode) : undefined
    if (first !== undefined) {
      await target.link(first, to)
      return
    }
    if (node.links > 1) this.#firstNames.set(node.inode, to)
    await target.create(to, this.#nodeOf(node, path))
  }

  /** What a node of the source becomes. @param path where a file's content is */
  #nodeOf(node: TreeNode, path: string): NewNode {
    const { owner, mode } = this.#request
    const attributes = {
      mode: node.type === 'symlink' ? LINK_MODE : mode === undefined ? node.mode : mode(node.mode, node.type === 'directory'),
      uid: owner?.uid ?? node.uid,
      gid: owner?.gid ?? node.gid,
      modifiedAt: node.modifiedAt,
      xattrs: node.xattrs,
    }
    switch (node.type) {
      case 'file':
        return { ...attributes, type: 'file', content: { size: node.size, open: range => this.#tree.open(path, range) } }
      case 'symlink':
        return { ...attributes, type: 'symlink', linkTarget: node.linkTarget! }
      case 'character':
      case 'block':
        return { ...attributes, type: node.type, device: node.device! }
      default:
        return { ...attributes, type: node.type }
    }
  }
}

function conflict(path: string, state: string): StrataError {
  return new StrataError('invalidArgument', 'STRATA_COPY_CONFLICT', `Cannot copy to "/${path}": ${state}`)
}
