import { chmodSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { errnoOf, StrataError, systemError } from '../base/index.ts'

/** Owner everything, group may pass, others nothing: images hold setuid programs of other people. */
const ROOT_MODE = 0o710
const METADATA_FILE = 'meta.db'

/**
 * Makes the root directory where there is none, and checks on every start that other users cannot
 * pass through it (CVE-2021-41091). A root that was opened up is closed again; a directory that is
 * not a root and not empty is left as it is and refused, so that `--root /tmp` changes nothing.
 *
 * @returns the path of its metadata, for `openMetadata`
 */
export function openRootDirectory(root: string): string {
  const metadata = join(root, METADATA_FILE)
  try {
    const before = modeOf(root)
    if (before === undefined) makeDirectories(root)
    else if (!isRoot(root)) {
      throw new StrataError('invalidArgument', 'STRATA_NOT_A_ROOT', `Cannot use "${root}" as root: it is not empty and no root of Strata`, {
        hint: 'Choose an empty or a new directory with --root.',
      })
    }
    // mkdir gives the mode through the umask; an older directory may have any mode.
    if (modeOf(root) !== ROOT_MODE) chmodSync(root, ROOT_MODE)
  } catch (error) {
    throw systemError(`use "${root}" as root`, error)
  }
  return metadata
}

/** As a recursive mkdir, which says of a read-only disk that there is no such file. */
function makeDirectories(path: string): void {
  try {
    mkdirSync(path, { mode: ROOT_MODE })
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return
    if (errnoOf(error) !== 'ENOENT') throw error
    makeDirectories(dirname(path))
    mkdirSync(path, { mode: ROOT_MODE })
  }
}

function modeOf(path: string): number | undefined {
  const stats = statSync(path, { throwIfNoEntry: false })
  if (stats !== undefined && !stats.isDirectory()) {
    throw new StrataError('invalidArgument', 'STRATA_ENOTDIR', `Cannot use "${path}" as root: it is not a directory`)
  }
  return stats === undefined ? undefined : stats.mode & 0o7777
}

function isRoot(path: string): boolean {
  const names = readdirSync(path)
  // A disk's own lost+found does not make it somebody's data.
  return names.includes(METADATA_FILE) || names.every(name => name === 'lost+found')
}
