import { closeSync, fstatSync, openSync } from 'node:fs'
import { CHUNK_BYTES, StrataError, systemError } from '../base/index.ts'
import { type ErofsExtent, type ErofsImage, type ErofsInode, openErofs } from '../erofs/index.ts'
import { IMAGE_ROOT } from './imageBytes.ts'
import { readPart } from './fileContent.ts'
import { quotePath } from './layerPath.ts'
import type { ByteRange, ReadableTree, TreeNode } from './tree.ts'

/** An EROFS image on the disk, and the files that hold the contents. */
export interface ImageFile {
  readonly path: string
  /** In the order of the image's devices. */
  readonly devices: readonly string[]
}

/** An open image, from which other images can be made. */
export interface ImageTree extends ReadableTree {
  readonly file: ImageFile
  inode(path: string): ErofsInode | undefined
  /** Where the content of a file of a node's `inode` lies; undefined for inodes that are not of this image. */
  extents(inode: string): readonly ErofsExtent[] | undefined
}

/** Images are read in pieces of this size, of which some are kept. */
const PAGE_BYTES = 16 * 1024
const PAGES = 32
/** Directories whose inodes are kept. */
const DIRECTORIES = 1000

/**
 * The tree in an EROFS image, exactly as it is written, read without a mount: also 0:0 devices and the xattrs of overlayfs are shown.
 * It is opened by the first look at it.
 */
export function imageTree(file: ImageFile): ImageTree {
  return new OpenImage(file)
}

class OpenImage implements ImageTree {
  readonly file: ImageFile
  readonly #directories = new Map<string, ErofsInode | undefined>()
  readonly #pages = new Map<number, Uint8Array>()
  readonly #devices = new Map<number, number>()
  #opened: { readonly fd: number; readonly size: number; readonly image: ErofsImage } | undefined

  constructor(file: ImageFile) {
    this.file = file
  }

  /** The image, opened by the first look at it: of a deep stack, most are never looked at. */
  get #image(): ErofsImage {
    this.#opened ??= this.#openFile()
    return this.#opened.image
  }

  #openFile(): { readonly fd: number; readonly size: number; readonly image: ErofsImage } {
    try {
      const fd = openSync(this.file.path, 'r')
      try {
        const { size } = fstatSync(fd)
        return { fd, size, image: openErofs({ size, read: (at, length) => this.#read({ fd, size }, at, length) }) }
      } catch (error) {
        closeSync(fd)
        throw error
      }
    } catch (error) {
      throw systemError(`read "${this.file.path}"`, error)
    }
  }

  async lstat(path: string): Promise<TreeNode | undefined> {
    const inode = this.#find(path)
    if (inode === undefined) return undefined
    const { type, mode, uid, gid, modifiedAt, xattrs, size, device, links, nid } = inode
    return {
      type,
      mode,
      uid,
      gid,
      modifiedAt,
      xattrs,
      size: type === 'file' ? size : 0,
      ...(type === 'symlink' ? { linkTarget: this.#image.target(inode) } : {}),
      ...(device === undefined ? {} : { device }),
      inode: `${this.file.path}:${nid}`,
      links: type === 'directory' ? 1 : links,
    }
  }

  async list(path: string): Promise<readonly string[]> {
    const inode = this.#find(path)
    if (inode?.type !== 'directory') throw systemError(`list ${quotePath(path)}`, errno(inode === undefined ? 'ENOENT' : 'ENOTDIR', path))
    return this.#image.entries(inode).map(({ name }) => name)
  }

  async *open(path: string, range: ByteRange = {}): AsyncGenerator<Uint8Array> {
    const inode = this.#find(path)
    if (inode?.type !== 'file') throw notAFile(path, inode)
    const end = Math.min(range.end ?? inode.size, inode.size)
    let at = Math.min(range.start ?? 0, end)
    for (const extent of this.#image.extents(inode)) {
      const from = Math.max(at, extent.offset)
      const to = Math.min(end, extent.offset + extent.size)
      if (from >= to) continue
      yield* zeros(from - at)
      yield* this.#content(extent.device, extent.position + from - extent.offset, to - from)
      at = to
    }
    yield* zeros(end - at)
  }

  inode(path: string): ErofsInode | undefined {
    return this.#find(path)
  }

  extents(inode: string): readonly ErofsExtent[] | undefined {
    const colon = inode.lastIndexOf(':')
    return inode.slice(0, colon) === this.file.path
      ? [...this.#image.extents(this.#image.inode(Number(inode.slice(colon + 1))))]
      : undefined
  }

  async close(): Promise<void> {
    if (this.#opened !== undefined) closeSync(this.#opened.fd)
    this.#opened = undefined
    for (const fd of this.#devices.values()) closeSync(fd)
    this.#devices.clear()
  }

  #find(path: string): ErofsInode | undefined {
    const slash = path.lastIndexOf('/')
    if (path === '') return this.#directory('')
    const directory = this.#directory(slash === -1 ? '' : path.slice(0, slash))
    if (directory?.type !== 'directory') return undefined
    const entry = this.#image.lookup(directory, path.slice(slash + 1))
    return entry === undefined ? undefined : this.#image.inode(entry.nid)
  }

  #directory(path: string): ErofsInode | undefined {
    const known = this.#directories.get(path)
    if (known !== undefined) return known
    let found: ErofsInode | undefined
    if (path === '') {
      const root = this.#image.inode(this.#image.root)
      found = this.#image.inode(this.#image.lookup(root, IMAGE_ROOT)!.nid)
    } else found = this.#find(path)
    if (found?.type !== 'directory') return undefined
    if (this.#directories.size >= DIRECTORIES) this.#directories.clear()
    this.#directories.set(path, found)
    return found
  }

  *#content(device: number, start: number, size: number): Generator<Uint8Array> {
    const fd = this.#device(device)
    for (let done = 0; done < size; done += CHUNK_BYTES) yield readPart(fd, start + done, Math.min(CHUNK_BYTES, size - done))
  }

  #device(device: number): number {
    if (device === -1) return this.#opened!.fd
    const known = this.#devices.get(device)
    if (known !== undefined) return known
    const path = this.file.devices[device]!
    try {
      const fd = openSync(path, 'r')
      this.#devices.set(device, fd)
      return fd
    } catch (error) {
      throw systemError(`read "${path}"`, error)
    }
  }

  #read({ fd, size }: { readonly fd: number; readonly size: number }, position: number, length: number): Uint8Array {
    const page = Math.floor(position / PAGE_BYTES)
    const begin = position - page * PAGE_BYTES
    if (begin + length > PAGE_BYTES) return readPart(fd, position, length)
    let bytes = this.#pages.get(page)
    if (bytes === undefined) {
      bytes = readPart(fd, page * PAGE_BYTES, Math.min(PAGE_BYTES, size - page * PAGE_BYTES))
      if (this.#pages.size >= PAGES) this.#pages.delete(this.#pages.keys().next().value!)
      this.#pages.set(page, bytes)
    }
    return bytes.subarray(begin, begin + length)
  }
}

function* zeros(count: number): Generator<Uint8Array> {
  for (let left = count; left > 0; left -= CHUNK_BYTES) yield Buffer.alloc(Math.min(left, CHUNK_BYTES))
}

function notAFile(path: string, inode: ErofsInode | undefined): StrataError {
  if (inode === undefined) return systemError(`read ${quotePath(path)}`, errno('ENOENT', path))
  return new StrataError('invalidArgument', 'STRATA_NOT_A_FILE', `Cannot read ${quotePath(path)}: it is a ${inode.type}`)
}

function errno(code: string, path: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: ${path}`), { code, path })
}
