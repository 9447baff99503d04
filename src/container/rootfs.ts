import { mkdirSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { constants } from 'node:fs'
import { errnoOf } from '../base/index.ts'
import {
  close,
  CURRENT_DIRECTORY,
  isMountPoint,
  type Mount,
  mount,
  mountsBelow,
  O_PATH,
  openAt,
  removeTreeAt,
  unmount,
} from '../host/index.ts'
import type { Installation } from './installation.ts'
import type { HeldLock } from './locks.ts'

/**
 * Mounts a container's root file system in its run directory, which it makes; an earlier mount is taken
 * as it is. The lock is held.
 *
 * @param how.disposable nothing of it is wanted after a crash, and it is never mounted again: what is
 *   written need not reach the disk, which saves a wait for it at the unmount
 * @param how.withoutDevices device nodes in it mean nothing: where no cgroup says which ones may be used
 */
export async function mountRootfs(installation: Installation, id: string, how: RootfsOptions = {}): Promise<string> {
  const rootfs = installation.paths.rootfs(id)
  mkdirSync(rootfs, { recursive: true, mode: 0o700 })
  if (isMountPoint(rootfs)) return rootfs
  for (const each of await installation.snapshots.mounts(id)) mount(adjusted(each, how), rootfs)
  return rootfs
}

export interface RootfsOptions {
  readonly disposable?: boolean
  readonly withoutDevices?: boolean
}

/** kernel overlayfs.rst, "Volatile mount": it leaves a mark in the work directory because of which it cannot be mounted again. */
function adjusted(each: Mount, { disposable, withoutDevices }: RootfsOptions): Mount {
  const more = [...(disposable === true && each.type === 'overlay' ? ['volatile'] : []), ...(withoutDevices === true ? ['nodev'] : [])]
  return { ...each, options: [...each.options, ...more] }
}

/** Lets a root file system that was mounted as a disposable one, and is not now, be mounted once more after all. */
export async function allowRemount(installation: Installation, id: string): Promise<void> {
  if (isMountPoint(installation.paths.rootfs(id))) return
  const { WorkDir: work } = installation.snapshots.describe(id)
  if (work !== undefined) await rm(join(work, 'work/incompat/volatile'), { recursive: true, force: true })
}

/**
 * Takes away all that is mounted in a container's run directory, and then the directory. What a mount
 * shows is never touched: where one stays, so does the directory. The lock is held.
 */
export function removeRunDirectory(installation: Installation, id: string): void {
  const directory = installation.paths.bundle(id)
  for (const { target } of mountsBelow(directory).toReversed()) {
    try {
      unmount(target, { detach: true })
    } catch (error) {
      // Gone with the one above it.
      if (errnoOf(error) !== 'EINVAL' && errnoOf(error) !== 'ENOENT') throw error
    }
  }
  let parent: number
  try {
    parent = openAt(CURRENT_DIRECTORY, dirname(directory), O_PATH | constants.O_DIRECTORY)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return
    throw error
  }
  try {
    removeTreeAt(parent, basename(directory))
  } finally {
    close(parent)
  }
}

/** A root file system that is mounted as long as this is held. */
export interface MountedRootfs extends AsyncDisposable {
  readonly path: string
}

/**
 * The root file system of a container, running or not. For one that does not run it is mounted for
 * this use alone, with the container's lock held so that nobody starts it meanwhile.
 *
 * @param lock held by the caller; this takes it over
 */
export async function borrowRootfs(installation: Installation, id: string, lock: HeldLock): Promise<MountedRootfs> {
  const path = installation.paths.rootfs(id)
  if (isMountPoint(path)) {
    lock[Symbol.dispose]()
    return { path, [Symbol.asyncDispose]: async () => undefined }
  }
  const giveBack = async (): Promise<void> => {
    try {
      removeRunDirectory(installation, id)
      await installation.snapshots.release(id)
    } finally {
      lock[Symbol.dispose]()
    }
  }
  try {
    await mountRootfs(installation, id)
  } catch (error) {
    await giveBack()
    throw error
  }
  return { path, [Symbol.asyncDispose]: giveBack }
}
