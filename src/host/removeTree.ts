import { errnoOf, TimeSlices } from '../base/index.ts'
import { close, openDirectoryAt } from './descriptors.ts'
import { type DirectoryEntry, readDirectory } from './directories.ts'
import { unlinkAt } from './entries.ts'
import { callError } from './libc.ts'
import { type Stat, statFd } from './stat.ts'

/** Directories on the way down that stay open. Those further up are opened again through `..` on the way back. */
const OPEN_DIRECTORIES = 64

/** A directory that is being emptied. */
interface Level {
  readonly name: string
  readonly identity: Stat
  /** What is still to remove, from the end. */
  left: DirectoryEntry[]
  /** Closed (undefined) while the work is far below. */
  fd: number | undefined
}

/**
 * Removes `name` in `directory` with everything below it. An absent name is fine. No link is
 * followed, whatever others do to the tree meanwhile; depth is bounded by nothing but the disk.
 *
 * @throws EBUSY where something is mounted in the tree: what the mount hides or shows is left alone
 */
export function removeTreeAt(directory: number, name: string): void {
  for (const _ of removal(directory, name));
}

/** Does what `removeTreeAt` does, and lets the other work of this thread go on meanwhile. Calls in other threads would cost twice the time in all. */
export async function removeTree(directory: number, name: string): Promise<void> {
  const slices = new TimeSlices()
  for (const _ of removal(directory, name)) if (slices.over) await slices.next()
}

/** Each step removes an entry or goes into a directory. */
function* removal(directory: number, name: string): Generator<void> {
  if (removeLeaf(directory, { name, type: undefined })) return
  const levels: Level[] = []
  try {
    enter(levels, directory, name)
    for (;;) {
      const level = levels.at(-1)
      if (level === undefined) return
      const entry = level.left.pop()
      if (entry === undefined) leave(levels, directory)
      else if (!removeLeaf(level.fd!, entry)) enter(levels, level.fd!, entry.name)
      yield
    }
  } finally {
    for (const { fd } of levels) if (fd !== undefined) close(fd)
  }
}

/** Removes an entry that is no directory; false where it is one. */
function removeLeaf(directory: number, { name, type }: DirectoryEntry): boolean {
  if (type === 'directory') return false
  try {
    unlinkAt(directory, name)
  } catch (error) {
    // A directory answers EISDIR, and EPERM on some file systems.
    if (errnoOf(error) === 'EISDIR' || (errnoOf(error) === 'EPERM' && type === undefined)) return false
    if (errnoOf(error) !== 'ENOENT') throw error
  }
  return true
}

/** Goes down into a directory; one that was replaced by something else meanwhile is removed as that. */
function enter(levels: Level[], directory: number, name: string): void {
  let fd: number
  try {
    fd = openDirectoryAt(directory, name)
  } catch (error) {
    const code = errnoOf(error)
    if (code === 'ENOENT') return
    if (code !== 'ENOTDIR' && code !== 'ELOOP') throw error
    removeLeaf(directory, { name, type: undefined })
    return
  }
  const identity = statFd(fd)
  if (identity.mountRoot) {
    close(fd)
    throw callError('EBUSY', 'unlinkat', name)
  }
  // Known before it is read, so that the descriptor is closed even when reading fails.
  const level: Level = { name, identity, left: [], fd }
  levels.push(level)
  level.left = namesLeft(fd)
  const far = levels.at(-1 - OPEN_DIRECTORIES)
  if (far?.fd !== undefined) {
    close(far.fd)
    far.fd = undefined
  }
}

/** A directory that somebody else has removed meanwhile has nothing left. */
function namesLeft(fd: number): DirectoryEntry[] {
  try {
    return readDirectory(fd)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return []
    throw error
  }
}

/** Goes back up and removes the directory that is empty now. */
function leave(levels: Level[], directory: number): void {
  const { fd, name } = levels.at(-1)!
  const above = levels.at(-2)
  if (above !== undefined && above.fd === undefined) above.fd = openAbove(fd!, above)
  levels.pop()
  close(fd!)
  try {
    unlinkAt(above?.fd ?? directory, name, { directory: true })
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error
  }
}

/** Opens the parent of `fd`, and makes sure that it is still the one that we came from. */
function openAbove(fd: number, { identity, name }: Level): number {
  const above = openDirectoryAt(fd, '..')
  const found = statFd(above)
  if (found.inode === identity.inode && found.mountId === identity.mountId) return above
  close(above)
  throw callError('ESTALE', 'openat', name)
}
