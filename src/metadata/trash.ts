import { randomBytes } from 'node:crypto'
import { lstatSync, mkdirSync, readdirSync, renameSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { errnoOf, systemError } from '../base/index.ts'

/**
 * Where files go to be deleted. Moving takes no time, so it happens inside a transaction; deleting a
 * tree takes long, so it happens afterwards. What is here has no record and no other name: after a
 * crash it is still only garbage.
 */
export class Trash {
  readonly #directory: string

  /** @param root the root directory; the trash is `trash/` in it, made (0700) when it is needed first */
  constructor(root: string) {
    this.#directory = join(root, 'trash')
  }

  /** Takes a file or a directory out of the store, at once. Does nothing where there is none. */
  moveAside(path: string): void {
    const target = join(this.#directory, randomBytes(12).toString('hex'))
    try {
      if (lstatSync(path, { throwIfNoEntry: false }) === undefined) return
      mkdirSync(this.#directory, { recursive: true, mode: 0o700 })
      renameSync(path, target)
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw systemError(`remove "${path}"`, error)
    }
  }

  /** Deletes what is in the trash, also what a crash left there. Several processes may do it at once. */
  async empty(): Promise<void> {
    try {
      for (const name of this.#names()) await rm(join(this.#directory, name), { recursive: true, force: true })
    } catch (error) {
      throw systemError(`empty "${this.#directory}"`, error)
    }
  }

  #names(): readonly string[] {
    try {
      return readdirSync(this.#directory)
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return []
      throw error
    }
  }
}
