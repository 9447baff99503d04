import { errnoOf } from '../base/index.ts'
import { close, openDirectoryAt } from './descriptors.ts'
import { type DirectoryEntry, readDirectory } from './directories.ts'
import { AT_REMOVEDIR } from './entries.ts'
import { callError, callInThread, kernelName } from './libc.ts'
import { removeTreeAt } from './removeTree.ts'
import { statFd } from './stat.ts'

/** Calls at once: more than libuv has threads, so that none of these waits for this one. */
const CALLS = 32
/** Below this depth the bounded, synchronous walk takes over: each level here keeps a descriptor. */
const DEPTH = 64

/**
 * Does what `removeTreeAt` does in the threads of libuv's pool, so that this thread goes on meanwhile and
 * the disk has several calls to work on: on a busy disk a third of the time.
 *
 * Rejects with EBUSY where something is mounted in the tree.
 */
export async function removeTree(directory: number, name: string): Promise<void> {
  const removal = new Removal()
  const unlinked = await removal.leaf(directory, { name, type: undefined })
  if (!unlinked) await removal.directory(directory, name, 0)
}

class Removal {
  #running = 0
  /** Who waits for a call's place; the last one first, which goes down before it goes on. */
  readonly #waiting: (() => void)[] = []

  /** Removes an entry that is no directory; false where it is one. */
  async leaf(directory: number, { name, type }: DirectoryEntry): Promise<boolean> {
    if (type === 'directory') return false
    try {
      await this.#inPlace(() => callInThread('unlinkat', directory, kernelName(name), 0))
    } catch (error) {
      const errno = errnoOf(error)
      // A directory answers EISDIR, and EPERM on some file systems.
      if (errno === 'EISDIR' || (errno === 'EPERM' && type === undefined)) return false
      if (errno !== 'ENOENT') throw error
    }
    return true
  }

  async directory(parent: number, name: string, depth: number): Promise<void> {
    if (depth === DEPTH) {
      removeTreeAt(parent, name)
      return
    }
    const fd = await this.#inPlace(async () => openIfThere(parent, name))
    if (fd === undefined) return
    try {
      if (statFd(fd).mountRoot) throw callError('EBUSY', 'unlinkat', name)
      const entries = await Promise.allSettled(readDirectory(fd).map(entry => this.#entry(fd, entry, depth)))
      for (const entry of entries) if (entry.status === 'rejected') throw entry.reason
    } finally {
      close(fd)
    }
    await this.#inPlace(() => removeDirectory(parent, name))
  }

  async #entry(fd: number, entry: DirectoryEntry, depth: number): Promise<void> {
    const unlinked = await this.leaf(fd, entry)
    if (!unlinked) await this.directory(fd, entry.name, depth + 1)
  }

  async #inPlace<T>(call: () => Promise<T>): Promise<T> {
    if (this.#running >= CALLS) {
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#waiting.push(resolve)
      await promise
    } else this.#running += 1
    try {
      return await call()
    } finally {
      const next = this.#waiting.pop()
      if (next === undefined) this.#running -= 1
      else next()
    }
  }
}

/** A directory that was replaced by something else meanwhile is removed as that. */
function openIfThere(parent: number, name: string): number | undefined {
  try {
    return openDirectoryAt(parent, name)
  } catch (error) {
    const errno = errnoOf(error)
    if (errno !== 'ENOENT' && errno !== 'ENOTDIR' && errno !== 'ELOOP') throw error
    if (errno !== 'ENOENT') removeTreeAt(parent, name)
    return undefined
  }
}

async function removeDirectory(parent: number, name: string): Promise<void> {
  try {
    await callInThread('unlinkat', parent, kernelName(name), AT_REMOVEDIR)
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error
  }
}
