import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { posix } from 'node:path'
import { type ByteStream, errnoOf, StrataError, systemError } from '../../base/index.ts'
import { decompress } from '../../compression/index.ts'
import {
  chmodAt,
  chmodFd,
  chownAt,
  chownFd,
  close,
  linkAt,
  makeDirectoryAt,
  makeNodeAt,
  openAt,
  renameAt,
  setTimesAt,
  setTimesFd,
  setXattrAt,
  setXattrFd,
  symlinkAt,
  unlinkAt,
  writeAll,
} from '../../host/index.ts'
import { isOverlayXattr } from '../../layer/index.ts'
import { readTar, type TarEntry, type TarMember } from '../../tar/index.ts'
import { type MountedTree, parentOf } from './mountedTree.ts'

export interface ExtractOptions {
  /** Keeps the owners of the archive by number, or gives everything to one. */
  readonly owner: 'keep' | { readonly uid: number; readonly gid: number }
  readonly signal?: AbortSignal | undefined
}

/**
 * Unpacks a tar, compressed or not, in an existing directory of a tree, over what is there. Links of
 * the tree above an entry are followed inside the tree; an entry itself never is one that is followed.
 *
 * Rejects with `invalidArgument` for names that lead out of the directory (STRATA_PATH_ESCAPES_ROOT), with
 * `conflict` (STRATA_CANNOT_OVERWRITE) where a directory would replace something else or the reverse, and for places where
 * something is mounted. What was unpacked before stays.
 */
export async function extractTar(tar: ByteStream, tree: MountedTree, base: string, options: ExtractOptions): Promise<void> {
  const extraction = new Extraction(tree, base, options)
  for await (const member of readTar(decompress(tar))) {
    options.signal?.throwIfAborted()
    await extraction.take(member)
  }
  await extraction.finish()
}

class Extraction {
  readonly #tree: MountedTree
  readonly #base: string
  readonly #options: ExtractOptions
  /** Directories get their times when nothing more is made in them. */
  readonly #directories = new Map<string, TarEntry>()
  /** The last parent, as it is written and as it was resolved. */
  #parent: { readonly written: string; readonly path: string } | undefined

  constructor(tree: MountedTree, base: string, options: ExtractOptions) {
    this.#tree = tree
    this.#base = base
    this.#options = options
  }

  async take(member: TarMember): Promise<void> {
    const written = normalize(member.path)
    if (written === '') return
    const path = await this.#place(written)
    const present = await this.#tree.lstat(path)
    if (member.type === 'directory') {
      if (present !== undefined && present.type !== 'directory') throw cannotOverwrite(written, 'a file', 'a directory')
    } else {
      if (present?.type === 'directory') throw cannotOverwrite(written, 'a directory', 'a file')
      if (this.#tree.isMounted(path)) throw isMounted(path)
    }
    const linked = member.type === 'hardlink' ? await this.#place(normalize(member.linkPath)) : undefined
    const directory = this.#tree.openDirectory(parentOf(path))
    try {
      const name = posix.basename(path)
      if (member.type === 'directory') {
        if (!this.#tree.isMounted(path)) this.#makeDirectory(directory, name, member, present !== undefined)
        this.#directories.set(path, member)
      } else await this.#replace(directory, name, member, linked)
    } catch (error) {
      throw systemError(`copy "${written}"`, error)
    } finally {
      close(directory)
    }
  }

  async finish(): Promise<void> {
    for (const [path, { modifiedAt }] of [...this.#directories].toReversed()) {
      const directory = this.#tree.openDirectory(path)
      try {
        setTimesAt(directory, '.', { modifiedAt })
      } finally {
        close(directory)
      }
    }
  }

  /** Where an entry goes: the directory above it is resolved, and made where it is missing. */
  async #place(written: string): Promise<string> {
    const above = parentOf(written)
    if (this.#parent?.written !== above) this.#parent = { written: above, path: await this.#makeParents(above) }
    const parent = this.#parent.path
    const name = posix.basename(written)
    return parent === '' ? name : `${parent}/${name}`
  }

  async #makeParents(written: string): Promise<string> {
    let at = this.#base
    for (const part of written.split('/')) {
      if (part === '') continue
      const { path, node } = await this.#tree.resolve(part, { followLast: true, from: at })
      if (node === undefined) {
        const directory = this.#tree.openDirectory(parentOf(path))
        try {
          makeDirectoryAt(directory, posix.basename(path), 0o755)
        } catch (error) {
          if (errnoOf(error) !== 'EEXIST') throw systemError(`make "${path}"`, error)
        } finally {
          close(directory)
        }
      }
      at = path
    }
    return at
  }

  #makeDirectory(directory: number, name: string, entry: TarEntry, isPresent: boolean): void {
    if (!isPresent) makeDirectoryAt(directory, name, 0o700)
    const { uid, gid, mode } = this.#attributes(entry)
    chownAt(directory, name, uid, gid)
    chmodAt(directory, name, mode)
    this.#setXattrs(entry, (key, value) => setXattrAt(directory, name, { key, value }))
  }

  /** Makes the entry aside and renames it, so that what was there is replaced by the whole of it or not at all. */
  async #replace(directory: number, name: string, member: TarMember, linked: string | undefined): Promise<void> {
    const aside = `.strata-${randomBytes(8).toString('hex')}`
    try {
      await this.#make(directory, aside, member, linked)
      renameAt(directory, aside, directory, name)
      // Renaming one hard link over another of the same file does nothing, and leaves both.
      if (linked !== undefined) removeIfThere(directory, aside)
    } catch (error) {
      removeIfThere(directory, aside)
      throw error
    }
  }

  async #make(directory: number, name: string, member: TarMember, linked: string | undefined): Promise<void> {
    switch (member.type) {
      case 'file':
        return this.#makeFile(directory, name, member)
      case 'hardlink': {
        const from = this.#tree.openDirectory(parentOf(linked!))
        try {
          linkAt(from, posix.basename(linked!), directory, name)
        } finally {
          close(from)
        }
        return
      }
      case 'symlink':
        symlinkAt(member.linkPath, directory, name)
        break
      case 'character':
      case 'block':
      case 'fifo':
        makeNodeAt(directory, name, member.type, { mode: 0o600, device: member.device })
        break
      case 'directory':
        return
      default:
        return member.type satisfies never
    }
    const { uid, gid, mode } = this.#attributes(member)
    chownAt(directory, name, uid, gid)
    if (member.type !== 'symlink') chmodAt(directory, name, mode)
    this.#setXattrs(member, (key, value) => setXattrAt(directory, name, { key, value }))
    setTimesAt(directory, name, { accessedAt: member.modifiedAt, modifiedAt: member.modifiedAt })
  }

  async #makeFile(directory: number, name: string, member: TarMember): Promise<void> {
    const fd = openAt(directory, name, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY | constants.O_NOFOLLOW, 0o600)
    try {
      for await (const chunk of member.body) writeAll(fd, chunk)
      const { uid, gid, mode } = this.#attributes(member)
      chownFd(fd, uid, gid)
      chmodFd(fd, mode)
      this.#setXattrs(member, (key, value) => setXattrFd(fd, key, value))
      setTimesFd(fd, { accessedAt: member.modifiedAt, modifiedAt: member.modifiedAt })
    } finally {
      close(fd)
    }
  }

  /** A program that may act as its owner does not become one that may act as somebody else. */
  #attributes(entry: TarEntry): { readonly uid: number; readonly gid: number; readonly mode: number } {
    const { owner } = this.#options
    const mode = entry.mode & 0o7777
    if (owner === 'keep') return { uid: entry.uid, gid: entry.gid, mode }
    const sameUser = owner.uid === entry.uid ? 0 : constants.S_IXUSR << 5
    const sameGroup = owner.gid === entry.gid ? 0 : constants.S_IXGRP << 7
    return { ...owner, mode: mode & ~(entry.type === 'directory' ? 0 : sameUser | sameGroup) }
  }

  #setXattrs(entry: TarEntry, set: (key: string, value: Uint8Array) => void): void {
    for (const [key, value] of entry.xattrs) {
      if (isOverlayXattr(key)) continue
      try {
        set(key, value)
      } catch (error) {
        // Not every disk can keep every attribute, and not every user may set them.
        if (!['ENOTSUP', 'EOPNOTSUPP', 'EPERM'].includes(errnoOf(error) ?? '')) throw error
      }
    }
  }
}

function removeIfThere(directory: number, name: string): void {
  try {
    unlinkAt(directory, name)
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error
  }
}

/** Without leading slashes, `.` and empty parts; `''` is the directory itself. */
function normalize(path: string): string {
  const parts = path.split('/').filter(part => part !== '' && part !== '.')
  if (!parts.includes('..')) return parts.join('/')
  throw new StrataError('invalidArgument', 'STRATA_PATH_ESCAPES_ROOT', `Cannot copy "${path}": it leads out of the directory`)
}

function cannotOverwrite(path: string, present: string, wanted: string): StrataError {
  return new StrataError('conflict', 'STRATA_CANNOT_OVERWRITE', `Cannot copy "${path}": ${present} cannot be replaced with ${wanted}`)
}

function isMounted(path: string): StrataError {
  return new StrataError('conflict', 'STRATA_PATH_BUSY', `Cannot replace "/${path}": it is a mount of the container`)
}
