import { createHash } from 'node:crypto'
import type { Metadata, Resource } from '../metadata/index.ts'
import { chainIds, type DiffId } from '../oci/index.ts'

/*
 * What steps have made, by their cache keys. A key covers all that a step was made from: the chain of steps below it down to
 * the base image, the instruction with its variables resolved, and the contents that it copies (CVE-2024-24557).
 */
const SCHEMA = [
  `CREATE TABLE build_steps (
     key TEXT PRIMARY KEY,
     diff_id TEXT,                  -- NULL: the step made no layer
     chain_id TEXT,                 -- of the stack with that layer on top
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

  /** @param below the DiffIds of the stack that its layer is on, base first */
  set(key: string, { diffId, created }: CachedStep, below: readonly DiffId[]): void {
    this.#metadata.transaction(() => {
      this.#metadata.run(
        'INSERT OR REPLACE INTO build_steps (key, diff_id, chain_id, created, used_at) VALUES (?, ?, ?, ?, ?)',
        key,
        diffId ?? null,
        diffId === undefined ? null : chainIds([...below, diffId]).at(-1)!,
        created,
        Date.now(),
      )
    })
  }

  /** Forgets steps that nobody has used since a time, or all; gives their keys. What they have made goes with the next collection. */
  forget(usedBefore: Date | undefined): readonly string[] {
    return this.#metadata.transaction(() =>
      this.#metadata
        .all<{ key: string }>('DELETE FROM build_steps WHERE used_at < ? RETURNING key', usedBefore?.getTime() ?? Number.MAX_SAFE_INTEGER)
        .map(({ key }) => key),
    )
  }

  /** What steps have made, which stays as long as the cache has them. For use inside a transaction. */
  *references(): Generator<Resource> {
    const rows = this.#metadata.all<{ diff_id: string; chain_id: string }>(
      'SELECT diff_id, chain_id FROM build_steps WHERE diff_id IS NOT NULL',
    )
    for (const { diff_id: diffId, chain_id: chainId } of rows) {
      yield { kind: 'layer', id: diffId }
      yield { kind: 'snapshot', id: chainId }
    }
  }
}

/** The key of a step on top of another. @param parts what it is made of, in an order of its own */
export function keyAbove(below: string, ...parts: readonly unknown[]): string {
  return createHash('sha256')
    .update(JSON.stringify([below, ...parts]))
    .digest('hex')
}
