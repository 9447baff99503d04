import { createHash } from 'node:crypto'
import type { Metadata } from '../metadata/index.ts'
import type { DiffId } from '../oci/index.ts'

/*
 * What steps have made, by their cache keys. A key covers all that a step was made from: the chain of steps below it down to
 * the base image, the instruction with its variables resolved, and the contents that it copies (CVE-2024-24557).
 */
const SCHEMA = [
  `CREATE TABLE build_steps (
     key TEXT PRIMARY KEY,
     diff_id TEXT,                  -- NULL: the step made no layer
     created TEXT NOT NULL,
     used_at INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID;`,
]

export interface CachedStep {
  /** The layer that it made; undefined where it changed no file. */
  readonly diffId: DiffId | undefined
  /** When it was made, as an image config writes it. */
  readonly created: string
}

/** The steps that were built before. Its methods are synchronous, and one transaction each. */
export class StepCache {
  readonly #metadata: Metadata

  constructor(metadata: Metadata) {
    this.#metadata = metadata
    metadata.migrate('build', SCHEMA)
  }

  find(key: string): CachedStep | undefined {
    return this.#metadata.passingTransaction(() => {
      const row = this.#metadata.get<{ diff_id: string | null; created: string }>(
        'SELECT diff_id, created FROM build_steps WHERE key = ?',
        key,
      )
      if (row === undefined) return undefined
      this.#metadata.run('UPDATE build_steps SET used_at = ? WHERE key = ?', Date.now(), key)
      return { diffId: row.diff_id === null ? undefined : (row.diff_id as DiffId), created: row.created }
    })
  }

  set(key: string, { diffId, created }: CachedStep): void {
    this.#metadata.transaction(() => {
      this.#metadata.run(
        'INSERT OR REPLACE INTO build_steps (key, diff_id, created, used_at) VALUES (?, ?, ?, ?)',
        key,
        diffId ?? null,
        created,
        Date.now(),
      )
    })
  }

  /** The layers that steps have made: they stay as long as the cache has them. */
  layers(): readonly DiffId[] {
    return this.#metadata
      .all<{ diff_id: DiffId }>('SELECT DISTINCT diff_id FROM build_steps WHERE diff_id IS NOT NULL')
      .map(({ diff_id: diffId }) => diffId)
  }
}

/** The key of a step on top of another. @param parts what it is made of, in an order of its own */
export function keyAbove(below: string, ...parts: readonly unknown[]): string {
  return createHash('sha256')
    .update(JSON.stringify([below, ...parts]))
    .digest('hex')
}
