import { constants, existsSync } from 'node:fs'
import { mkdir, readdir, readFile, rm, rmdir, writeFile } from 'node:fs/promises'
import { basename, join, relative, resolve } from 'node:path'
import { errnoOf } from '../../base/index.ts'
import { close, CURRENT_DIRECTORY, lockFile, mount, openAt, statAt, unmount } from '../../host/index.ts'
import { imageFile, rootIn } from './layerImages.ts'

/*
 * <image>/
 *   mnt             where it is mounted, once for all
 *   users/<user>    an empty file for each state that may use the mount
 * <user>/mounted    the images that a state may use: a path each, below the directory of all, so that the store may be moved
 *
 * All below one directory, whose lock (flock) is held while mounts and users change. A file of a user whose directory is
 * gone means nothing; after a reboot nothing is mounted, and the next use mounts it.
 */

/** Mounts of images that states share, in this process and all others. */
export class SharedMounts {
  readonly #root: string

  /** @param root the directory with everything; users are directories in it */
  constructor(root: string) {
    this.#root = root
  }

  /** Mounts images for a user, those that are not mounted yet. Resolves with the roots of their layers. */
  async use(user: string, images: readonly string[]): Promise<readonly string[]> {
    await this.#locked(async () => {
      await writeFile(join(user, 'mounted'), images.map(image => relative(this.#root, image)).join('\0'), { mode: 0o600 })
      for (const image of images) {
        await mkdir(join(image, 'users'), { recursive: true, mode: 0o700 })
        await writeFile(join(image, 'users', basename(user)), '', { mode: 0o600 })
        await mkdir(join(image, 'mnt'), { recursive: true, mode: 0o700 })
        const target = join(image, 'mnt')
        if (isMounted(target)) continue
        const { path, devices } = imageFile(image)
        mount({ type: 'erofs', source: path, options: ['ro', ...devices.map(device => `device=${device}`)] }, target)
      }
    })
    return images.map(image => rootIn(join(image, 'mnt')))
  }

  /** A user needs its mounts no longer: those that nobody else needs go. */
  async release(user: string): Promise<void> {
    const images = await readIfThere(join(user, 'mounted'))
    if (images === undefined) return
    await this.#locked(async () => {
      for (const path of images.split('\0').filter(each => each !== '')) {
        const image = resolve(this.#root, path)
        await rm(join(image, 'users', basename(user)), { force: true })
        if (!(await this.#isUsed(image))) unmountAll(join(image, 'mnt'))
      }
    })
    await rm(join(user, 'mounted'), { force: true })
  }

  /** Takes a mount away whoever uses it: its image is about to go. */
  drop(image: string): void {
    unmountAll(join(image, 'mnt'))
  }

  /** Does something that no other process does meanwhile, nor mounts or unmounts. */
  alone(work: () => Promise<void>): Promise<void> {
    return this.#locked(work)
  }

  async #isUsed(image: string): Promise<boolean> {
    const users = join(image, 'users')
    for (const name of await namesIn(users)) {
      if (existsSync(join(this.#root, name))) return true
      await rm(join(users, name), { force: true })
    }
    await rmdir(users).catch(() => undefined)
    return false
  }

  async #locked(work: () => Promise<void>): Promise<void> {
    const fd = openAt(CURRENT_DIRECTORY, this.#root, constants.O_RDONLY | constants.O_DIRECTORY)
    try {
      await lockFile(fd, 'exclusive')
      await work()
    } finally {
      close(fd)
    }
  }
}

function isMounted(target: string): boolean {
  return statAt(CURRENT_DIRECTORY, target).mountRoot
}

function unmountAll(target: string): void {
  while (existsSync(target) && isMounted(target)) unmount(target, { detach: true })
}

async function namesIn(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return []
    throw error
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw error
  }
}
