import { posix } from 'node:path'
import { statSync } from 'node:fs'
import { errnoOf } from '../base/index.ts'
import { close, type ConfinedRoot } from '../host/index.ts'
import type { MountRecord } from './mountRecord.ts'

/** Mounted by the runtime before anything of the user's. */
const OWN = ['/dev', '/proc', '/sys'] as const

/** As docker's runtime makes them. Ours gives directories the sticky bit and hides files from all but root. */
const MODE = 0o755

/**
 * Makes what the mounts of a user are mounted on where the image has nothing: it stays in the
 * container layer and is committed, so its modes matter. What lies in another mount is left to the runtime.
 */
export function makeMountTargets(root: ConfinedRoot, mounts: readonly MountRecord[]): void {
  const covering = [...OWN, ...mounts.map(({ target }) => target)]
  for (const mount of mounts) {
    const { target } = mount
    if (covering.some(path => target.startsWith(`${path}/`)) || exists(root, target)) continue
    try {
      if (mount.type === 'bind' && !statSync(mount.source).isDirectory()) {
        root.makeDirectories(posix.dirname(target), MODE)
        close(root.createFile(target, MODE))
      } else root.makeDirectories(target, MODE)
    } catch (error) {
      // A file in the way, or a link to nowhere: whether the container can be, the runtime will say.
      if (errnoOf(error) === undefined) throw error
    }
  }
}

function exists(root: ConfinedRoot, path: string): boolean {
  try {
    root.stat(path)
    return true
  } catch (error) {
    if (errnoOf(error) === undefined) throw error
    return errnoOf(error) !== 'ENOENT'
  }
}
