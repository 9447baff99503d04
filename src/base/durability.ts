import { closeSync, fsyncSync, openSync, renameSync } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'

/**
 * Whether what is written is made to survive power loss, and how. Whoever writes one thing after another syncs each before the
 * next through this. A machine that is thrown away with its disk needs none of it: there is no sync at all then.
 */
export class Durability {
  /** For those that sync by other means than these methods: a database, a whole file system. */
  readonly isWanted: boolean

  constructor(isWanted: boolean) {
    this.isWanted = isWanted
  }

  /** Makes the bytes of an open file survive power loss. */
  async syncFile(file: FileHandle): Promise<void> {
    if (this.isWanted) await file.sync()
  }

  /** Makes what happened to the entries of a directory survive power loss; synchronous, for use inside a transaction. */
  syncDirectory(path: string): void {
    if (!this.isWanted) return
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
  rename(from: string, to: string): void {
    renameSync(from, to)
    this.syncDirectory(dirname(to))
  }
}

/** What holds unless somebody says otherwise. */
export const DURABLE: Durability = new Durability(true)
