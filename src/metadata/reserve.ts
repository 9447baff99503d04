import { randomBytes } from 'node:crypto'
import { existsSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { isStrataError } from '../base/index.ts'
import type { Metadata } from './metadata.ts'

/*
 * Deleting needs space too: SQLite writes what it deletes to its log first, and cannot even open a
 * database without 32 KiB of shared memory. So some space is taken while there is plenty, and given
 * up when a full disk would keep its owner from making room. Random bytes, so that no file system compresses them.
 */

/** Enough for the log of a collection of some ten thousand things. */
const RESERVE_BYTES = 2 * 1024 * 1024

/** Takes the reserve of a database where it is not taken, if there is space. */
export function takeReserve(path: string): void {
  const reserve = reservePath(path)
  // One without its bytes is what power loss leaves of it.
  if (statSync(reserve, { throwIfNoEntry: false })?.size === RESERVE_BYTES) return
  try {
    writeFileSync(reserve, randomBytes(RESERVE_BYTES), { mode: 0o600 })
  } catch {
    // No space: what was written of it helps nobody.
    rmSync(reserve, { force: true })
  }
}

/** Runs work that makes room. When the disk is full, it runs again with the reserve given up; it is taken again when a database is closed or opened. */
export function withReserve<Result>(metadata: Pick<Metadata, 'path'>, work: () => Result): Result {
  try {
    return work()
  } catch (error) {
    if (!isStrataError(error, 'resourceExhausted') || !existsSync(reservePath(metadata.path))) throw error
    rmSync(reservePath(metadata.path), { force: true })
    return work()
  }
}

function reservePath(path: string): string {
  return `${path}-reserve`
}
