import { constants } from 'node:fs'
import { errnoOf, pause } from '../base/index.ts'
import { close, CURRENT_DIRECTORY, openAt } from './descriptors.ts'
import { callError, lastErrno, libc } from './libc.ts'
import { statFd } from './stat.ts'

/** `shared` is held by any number at once, `exclusive` by one alone. */
export type LockKind = 'shared' | 'exclusive'

const LOCK_SH = 1
const LOCK_EX = 2
const LOCK_NB = 4

/** Milliseconds between two tries; the first are close together because most locks are short. */
const FIRST_WAIT = 2
const LONGEST_WAIT = 50

/**
 * Takes flock(2)'s lock on an open file if nobody is in the way, and says whether it did. It belongs
 * to the open file: closing the descriptor (or the end of the process) gives it back.
 */
export function tryLockFile(fd: number, kind: LockKind): boolean {
  if (libc().flock(fd, (kind === 'shared' ? LOCK_SH : LOCK_EX) | LOCK_NB) === 0) return true
  const code = lastErrno()
  if (code === 'EAGAIN') return false
  if (code === 'EINTR') return tryLockFile(fd, kind)
  throw callError(code, 'flock')
}

/** Waits for the lock without holding a thread. Rejects with the reason of `signal` when it fires. */
export async function lockFile(fd: number, kind: LockKind, options: { readonly signal?: AbortSignal | undefined } = {}): Promise<void> {
  for (let wait = FIRST_WAIT; !tryLockFile(fd, kind); wait = Math.min(wait * 1.5, LONGEST_WAIT)) {
    await pause(wait, options.signal)
  }
}

/**
 * Opens and locks (flock, exclusive) a directory that nobody else has locked, for who makes a place of its own that
 * others take away when they find it unlocked.
 *
 * @returns its descriptor; undefined where somebody has locked it, or it is gone
 */
export function lockDirectory(path: string): number | undefined {
  let fd: number
  try {
    fd = openAt(CURRENT_DIRECTORY, path, constants.O_RDONLY | constants.O_DIRECTORY)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw error
  }
  // A directory that was removed has no links left.
  if (tryLockFile(fd, 'exclusive') && statFd(fd).links > 0) return fd
  close(fd)
  return undefined
}
