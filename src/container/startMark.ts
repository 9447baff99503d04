import { existsSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { errnoOf, isAlive, type ProcessIdentity } from '../base/index.ts'

/**
 * Stands in the run directory while a process that its monitor has made is not started yet. When
 * whoever was to start it has been killed, the process would wait for ever.
 */
export class StartMark {
  readonly #path: string

  constructor(directory: string) {
    this.#path = join(directory, 'starting')
  }

  set(starter: ProcessIdentity): void {
    writeFileSync(this.#path, JSON.stringify(starter), { mode: 0o600 })
  }

  clear(): void {
    try {
      unlinkSync(this.#path)
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error
    }
  }

  /** The one who was to start it has gone. */
  isAbandoned(): boolean {
    if (!existsSync(this.#path)) return false
    try {
      return !isAlive(JSON.parse(readFileSync(this.#path, 'utf8')) as ProcessIdentity)
    } catch (error) {
      // Cleared this moment, or cut short by the kill.
      return !(error instanceof Error && errnoOf(error) === 'ENOENT')
    }
  }
}
