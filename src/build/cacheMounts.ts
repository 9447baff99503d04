import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { chmod, chown, lstat, mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { errnoOf, systemError } from '../base/index.ts'
import type { RunMount } from '../dockerfile/index.ts'
import { close, CURRENT_DIRECTORY, lockDirectory, lockFile, openAt, removeTree, tryLockFile } from '../host/index.ts'

/** What a mount of type cache has where nothing else is said. Dockerfile reference, "RUN --mount=type=cache". */
const MODE = 0o755

/** A directory that a command sees, for as long as it runs. */
export interface HeldDirectory extends Disposable {
  readonly path: string
}

/**
 * The directories that `RUN --mount=type=cache` keeps from build to build. An id is a name and no path: it is hashed.
 *
 *     <root>/<hash>/data     what commands have put there
 *     <root>/<hash>          locked (flock) while a command has it: shared, or alone
 */
export class CacheMounts {
  readonly #root: string

  /** @param root made when the first one is asked for */
  constructor(root: string) {
    this.#root = root
  }

  /**
   * Takes the directory of a mount. `locked` waits for whoever has it; `private` takes another one where somebody has it.
   *
   * Rejects with the reason of `signal` when it fires.
   */
  async take(mount: RunMount, signal?: AbortSignal): Promise<HeldDirectory> {
    const { id = mount.target ?? '', sharing = 'shared' } = mount
    for (let copy = 0; ; copy += 1) {
      const name = createHash('sha256')
        .update(JSON.stringify([id, copy]))
        .digest('hex')
      const directory = join(this.#root, name)
      await prepare(directory, mount)
      const fd = openAt(CURRENT_DIRECTORY, directory, constants.O_RDONLY | constants.O_DIRECTORY)
      const held = { path: join(directory, 'data'), [Symbol.dispose]: () => close(fd) }
      try {
        if (sharing === 'private') {
          if (tryLockFile(fd, 'exclusive')) return held
          close(fd)
          continue
        }
        await lockFile(fd, sharing === 'locked' ? 'exclusive' : 'shared', { signal })
        return held
      } catch (error) {
        close(fd)
        throw error
      }
    }
  }
}

/** Removes the directories that no command has now; gives how many bytes they had, and their names. */
export async function removeCacheMounts(root: string): Promise<{ readonly removed: readonly string[]; readonly bytes: number }> {
  const names = await readdir(root).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return []
    throw systemError('list the cache mounts', error)
  })
  const removed: string[] = []
  let bytes = 0
  for (const name of names) {
    const path = join(root, name)
    const fd = lockDirectory(path)
    if (fd === undefined) continue
    try {
      bytes += await bytesIn(path)
      await removeTree(CURRENT_DIRECTORY, path)
      removed.push(name)
    } finally {
      close(fd)
    }
  }
  return { removed, bytes }
}

async function bytesIn(path: string): Promise<number> {
  let bytes = 0
  for (const entry of await readdir(path, { withFileTypes: true, recursive: true }))
    if (entry.isFile()) bytes += (await lstat(join(entry.parentPath, entry.name))).size
  return bytes
}

async function prepare(directory: string, { mode = MODE, uid = 0, gid = 0 }: RunMount): Promise<void> {
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 })
    const data = join(directory, 'data')
    if ((await mkdir(data, { recursive: true })) === undefined) return
    await chown(data, uid, gid)
    await chmod(data, mode)
  } catch (error) {
    throw systemError('make the directory of a cache mount', error)
  }
}
