import { constants } from 'node:fs'
import { errnoOf } from '../base/index.ts'
import {
  close,
  CURRENT_DIRECTORY,
  getXattrAt,
  O_PATH,
  openBeneath,
  openDirectoryAt,
  readDirectory,
  readlinkAt,
  type Stat,
  statAt,
} from '../host/index.ts'
import { splitLinkTarget } from './layerPath.ts'
import { isWhiteoutDevice, OPAQUE_VALUE, OPAQUE_XATTR } from './whiteout.ts'

/** Where a path of a stack of layer directories comes from. */
export interface Found {
  /** Descriptor of the root of the layer directory that it is in; belongs to the stack. */
  readonly root: number
  readonly path: string
  readonly stat: Stat
}

const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY
/** As the kernel's limit for one path (MAXSYMLINKS). */
const SYMLINKS = 40

/** A list that is made only as far as somebody looks. */
class LazyList<T> implements Iterable<T> {
  readonly #made: T[] = []
  readonly #rest: Iterator<T>

  constructor(rest: Iterator<T>) {
    this.#rest = rest
  }

  *[Symbol.iterator](): Generator<T> {
    for (let at = 0; ; at += 1) {
      if (at === this.#made.length) {
        const next = this.#rest.next()
        if (next.done === true) return
        this.#made.push(next.value)
      }
      yield this.#made[at]!
    }
  }
}

/**
 * Looks names up in layer directories in overlayfs' form as overlayfs would, without a mount. For
 * sealed layers only: what it has learned of a directory it believes from then on. It opens and looks only as far
 * down as an answer needs, which in a deep stack is seldom far.
 */
export class LowerStack implements Disposable {
  readonly #opened: number[] = []
  /** Per directory, the layers whose directories it merges, top first. Empty: no directory. */
  readonly #merged = new Map<string, Iterable<number>>()

  /** @param directories the layers' directories, top first */
  constructor(directories: readonly string[]) {
    this.#merged.set('', new LazyList(this.#roots(directories)))
  }

  [Symbol.dispose](): void {
    for (const root of this.#opened) close(root)
  }

  /** What has exactly this path, the link itself where it is one; nothing is followed on the way. */
  find(path: string): Found | undefined {
    const { directory, name } = splitLast(path)
    for (const root of this.#mergedRoots(directory)) {
      if (path === '') return { root, path: '.', stat: statAt(root, '.') }
      const stat = statIfExists(root, directory, name)
      if (stat !== undefined) return isWhiteoutDevice({ type: stat.type, device: stat.rdev }) ? undefined : { root, path, stat }
    }
    return undefined
  }

  /** Tells whether a directory stands at this path. */
  hasDirectory(path: string): boolean {
    for (const _ of this.#mergedRoots(path)) return true
    return false
  }

  /** All names in a directory. */
  names(path: string): Set<string> {
    const names = new Set<string>()
    for (const root of this.#mergedRoots(path)) {
      const fd = openBeneath(root, path, DIRECTORY)
      try {
        for (const { name } of readDirectory(fd)) names.add(name)
      } finally {
        close(fd)
      }
    }
    for (const name of names) if (this.find(path === '' ? name : `${path}/${name}`) === undefined) names.delete(name)
    return names
  }

  /**
   * Follows the symlinks in the directory part of a path, inside the root.
   *
   * @param isDirectoryAbove tells of a path whether a layer above has made a directory of it, so that a link there no longer leads anywhere
   */
  resolve(path: string, isDirectoryAbove: (path: string) => boolean): string | undefined {
    const pending = path.split('/').toReversed()
    const done: string[] = []
    let symlinks = 0
    for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
      if (name === '..') {
        done.pop()
        continue
      }
      done.push(name)
      if (pending.length === 0) break
      const here = done.join('/')
      const found = this.find(here)
      if (found?.stat.type !== 'symlink') continue
      symlinks += 1
      if (symlinks > SYMLINKS || isDirectoryAbove(here)) return undefined
      const target = readlinkOf(found)
      if (target.startsWith('/')) done.length = 0
      else done.pop()
      pending.push(...splitLinkTarget(target).toReversed())
    }
    return done.join('/')
  }

  #mergedRoots(path: string): Iterable<number> {
    const known = this.#merged.get(path)
    if (known !== undefined) return known
    const merged = new LazyList(this.#merge(path))
    this.#merged.set(path, merged)
    return merged
  }

  *#roots(directories: readonly string[]): Generator<number> {
    for (const path of directories) {
      const root = openDirectoryAt(CURRENT_DIRECTORY, path)
      this.#opened.push(root)
      yield root
      if (isOpaque(root, '.')) return
    }
  }

  *#merge(path: string): Generator<number> {
    const { directory, name } = splitLast(path)
    for (const root of this.#mergedRoots(directory)) {
      const stat = statIfExists(root, directory, name)
      if (stat === undefined) continue
      if (stat.type !== 'directory') return
      yield root
      if (inDirectory(root, directory, fd => isOpaque(fd, name))) return
    }
  }
}

/** Reads a symlink that was found. */
export function readlinkOf(found: Found): string {
  const { directory, name } = splitLast(found.path)
  return inDirectory(found.root, directory, fd => readlinkAt(fd, name))
}

/** Calls `use` with the directory of a path below `root`, opened without following links. */
export function inDirectory<T>(root: number, directory: string, use: (fd: number) => T): T {
  if (directory === '') return use(root)
  const fd = openBeneath(root, directory, O_PATH | constants.O_DIRECTORY)
  try {
    return use(fd)
  } finally {
    close(fd)
  }
}

/** The directory of a path, and its last name. */
export function splitLast(path: string): { directory: string; name: string } {
  const slash = path.lastIndexOf('/')
  return { directory: slash === -1 ? '' : path.slice(0, slash), name: path.slice(slash + 1) }
}

function statIfExists(root: number, directory: string, name: string): Stat | undefined {
  try {
    return inDirectory(root, directory, fd => statAt(fd, name))
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw error
  }
}

/** Tells whether a directory hides what is below it. */
export function isOpaque(directory: number, name: string): boolean {
  return getXattrAt(directory, name, OPAQUE_XATTR)?.equals(OPAQUE_VALUE) === true
}
