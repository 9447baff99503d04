import { rm, statfs, writeFile } from 'node:fs/promises'
import { errnoOf, findProgram, makeDirectory, runProgram, StrataError, systemError } from '../base/index.ts'
import { unmount } from '../host/index.ts'
import { dirname } from 'node:path'

/** statfs(2) of a file that a namespace is mounted on: NSFS_MAGIC in linux/magic.h. */
const NSFS_MAGIC = 0x6e73_6673

/**
 * Makes a network namespace that lives as long as the file `path`, on which it is mounted.
 * The file must not be a namespace already.
 *
 * Rejects with `permissionDenied` when the caller may not make namespaces.
 */
export async function createNamespace(path: string): Promise<void> {
  const unshare = await findProgram('unshare')
  if (unshare === undefined) {
    throw new StrataError('unavailable', 'STRATA_UNSHARE_MISSING', 'Cannot make a network namespace: unshare is not installed', {
      hint: 'apt-get install util-linux',
    })
  }
  await makeDirectory(dirname(path))
  await writeFile(path, '', { mode: 0o600 })
  // A process of its own: the threads of this one stay in the host's namespace whatever happens.
  const { code, stderr } = await runProgram(unshare, [`--net=${path}`, 'true'])
  if (code === 0) return
  await rm(path, { force: true })
  const kind = stderr.includes('not permitted') ? 'permissionDenied' : 'unavailable'
  throw new StrataError(kind, 'STRATA_NAMESPACE_FAILED', `Cannot make network namespace "${path}": ${stderr.trim()}`)
}

/** Whether a namespace is mounted on the file; after a reboot a file may be left on which there is none. */
export async function isNamespace(path: string): Promise<boolean> {
  try {
    return (await statfs(path)).type === NSFS_MAGIC
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false
    throw systemError(`read "${path}"`, error)
  }
}

/** Lets go of a namespace and removes its file; the kernel ends it with its last process. Does nothing where there is no file. */
export async function removeNamespace(path: string): Promise<void> {
  try {
    // Several may lie on each other after a crash between the two steps of someone who tried again.
    while (await isNamespace(path)) unmount(path, { detach: true })
    await rm(path, { force: true })
  } catch (error) {
    throw systemError(`remove network namespace "${path}"`, error)
  }
}
