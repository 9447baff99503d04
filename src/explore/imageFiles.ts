import { type ByteStream, StrataError } from '../base/index.ts'
import type { DeviceNumber, TreeNode } from '../layer/index.ts'
import { quoted } from '../oci/index.ts'
import type { LazyUnion } from '../union/index.ts'
import { type Place, resolvePath } from './resolvePath.ts'

/** A name in a directory of an image, and what it stands for. Names are in the form of base's decodeFileName. */
export interface ListedFile {
  readonly name: string
  readonly type: TreeNode['type']
  /** 0 to 0o7777 */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Bytes of content. */
  readonly size: number
  /** How many names it has, as far as its layer tells. */
  readonly links: number
  readonly modifiedAt: { readonly seconds: number; readonly nanoseconds: number }
  readonly linkTarget?: string
  readonly device?: DeviceNumber
}

/** What a directory has in it, sorted by the bytes of the names; or the one thing that the path was, which is no directory. */
export interface FileListing {
  /** The directory in the form that was asked for: `/etc`, and with `recursive` `/etc/ssl`; undefined for what is no directory. */
  readonly directory: string | undefined
  readonly files: readonly ListedFile[]
}

export interface ListOptions {
  /** Directories below, too, each after the one that it is in. */
  readonly recursive?: boolean
  /** A symlink at the end of the path is shown itself. Default: the directory that it leads to is listed. */
  readonly showsLink?: boolean
}

/** The files of an image, as a process in it would see them: symlinks in paths are followed, and nothing leads out of the root. */
export class ImageFiles implements AsyncDisposable {
  readonly #tree: LazyUnion
  readonly #release: () => Promise<void>

  /** @param release called when the image is not looked at any more */
  constructor(tree: LazyUnion, release: () => Promise<void>) {
    this.#tree = tree
    this.#release = release
  }

  /** Rejects as `resolvePath`, and with `invalidArgument` (STRATA_NOT_A_FILE) for what has no content. */
  async readFile(path: string): Promise<ByteStream> {
    const place = await this.#resolve(path, true)
    if (place.type === 'file') return this.#tree.open(place.path)
    const what = place.type === 'directory' ? 'it is a directory' : `it is a ${place.type}, not a file`
    throw new StrataError('invalidArgument', 'STRATA_NOT_A_FILE', `Cannot read ${quoted(path)} of the image: ${what}`)
  }

  /** Rejects as `resolvePath`. */
  async *list(path: string, { recursive = false, showsLink = false }: ListOptions = {}): AsyncGenerator<FileListing> {
    const place = await this.#placeToList(path, showsLink)
    if (place.type !== 'directory') {
      yield { directory: undefined, files: [listed(path, (await this.#tree.lstat(place.path))!)] }
      return
    }
    const pending = [{ path: place.path, shown: path.replace(/(?<=[^/])\/+$/, '') }]
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      const files: ListedFile[] = []
      for (const name of await this.#tree.list(next.path)) {
        files.push(listed(name, (await this.#tree.lstat(below(next.path, name)))!))
      }
      yield { directory: next.shown, files }
      if (!recursive) return
      const { path: directory, shown } = next
      const directories = files.filter(({ type }) => type === 'directory').toReversed()
      for (const { name } of directories) pending.push({ path: below(directory, name), shown: `${shown === '/' ? '' : shown}/${name}` })
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#release()
  }

  /** A symlink to something else than a directory is shown itself, as ls does; so is one that leads nowhere. */
  async #placeToList(path: string, showsLink: boolean): Promise<Place> {
    const itself = await this.#resolve(path, false)
    if (showsLink || itself.type !== 'symlink') return itself
    try {
      const target = await this.#resolve(path, true)
      return target.type === 'directory' ? target : itself
    } catch (error) {
      if (error instanceof StrataError && (error.kind === 'notFound' || error.kind === 'invalidArgument')) return itself
      throw error
    }
  }

  #resolve(path: string, followsLast: boolean): Promise<Place> {
    return resolvePath(path, { find: each => this.#tree.find(each), followsLast })
  }
}

function below(directory: string, name: string): string {
  return directory === '' ? name : `${directory}/${name}`
}

function listed(name: string, node: TreeNode): ListedFile {
  const { type, mode, uid, gid, size, links, modifiedAt, linkTarget, device } = node
  return {
    name,
    type,
    mode,
    uid,
    gid,
    size,
    links,
    modifiedAt,
    ...(linkTarget === undefined ? {} : { linkTarget }),
    ...(device === undefined ? {} : { device }),
  }
}
