import { closeSync, fsyncSync, openSync, renameSync } from 'node:fs'
import { dirname } from 'node:path'

/** Makes what happened to the entries of a directory survive power loss; synchronous, for use inside a transaction. */
export function syncDirectoryNow(path: string): void {
  const directory = openSync(path, 'r')
  try {
    fsyncSync(directory)
  } finally {
    closeSync(directory)
  }
}

/**
 * Gives a synced file or directory its final name, replacing a file that has it, so that the name survives power loss.
 * Synchronous: a store publishes inside the transaction that writes the record, and in this order.
 */
export function renameDurably(from: string, to: string): void {
  renameSync(from, to)
  syncDirectoryNow(dirname(to))
}
