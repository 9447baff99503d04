import { constants } from 'node:fs'
import { close, openBeneath } from '../host/index.ts'

/** Enough for a walk that goes to and fro in a deep tree, few beside what a process may have open. */
const HANDLES = 64

/** Keeps directories open that were used last, of all branches of one union together. */
export class DirectoryHandles {
  readonly #handles = new Map<string, number>()

  /**
   * The directory at a path below a root, opened for reading; no link is followed. The descriptor is good until
   * the next call.
   *
   * @throws ENOENT, ENOTDIR, and ELOOP where a link is on the way
   */
  get(root: number, path: string): number {
    const key = `${root}/${path}`
    let fd = this.#handles.get(key)
    if (fd === undefined) {
      fd = openBeneath(root, path, constants.O_RDONLY | constants.O_DIRECTORY)
      for (const [oldest, handle] of this.#handles) {
        if (this.#handles.size < HANDLES) break
        this.#handles.delete(oldest)
        close(handle)
      }
    } else this.#handles.delete(key)
    this.#handles.set(key, fd)
    return fd
  }

  clear(): void {
    for (const fd of this.#handles.values()) close(fd)
    this.#handles.clear()
  }
}
