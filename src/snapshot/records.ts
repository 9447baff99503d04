import { isAlive, StrataError, thisOwner } from '../base/index.ts'
import { type Metadata, withReserve } from '../metadata/index.ts'
import type { SnapshotChain, SnapshotId, Usage } from './driver.ts'
import type { SnapshotInfo, SnapshotKind } from './snapshotter.ts'

/*
 * One row per state. The id is never given twice (AUTOINCREMENT), so what a crash leaves on disk
 * under an id without a row belongs to nobody; only what power loss has taken can come again. `owner` is set while a state is being made: such a row
 * is nobody's snapshot yet, keeps its parent all the same, and is a leftover when that process is
 * gone. `name` is NULL for a layer of a stack until the stack is committed. `passing` states are those
 * that nobody misses after power loss.
 */
const SCHEMA = [
  `CREATE TABLE snapshots (
     id INTEGER PRIMARY KEY AUTOINCREMENT,
     driver TEXT NOT NULL,
     name TEXT,
     kind TEXT NOT NULL,
     parent INTEGER REFERENCES snapshots(id) DEFERRABLE INITIALLY DEFERRED,
     created_at INTEGER NOT NULL,
     owner TEXT,
     used_bytes INTEGER,
     used_inodes INTEGER,
     UNIQUE (driver, name)
   ) STRICT;
   CREATE INDEX snapshots_by_parent ON snapshots(parent);`,
  `ALTER TABLE snapshots ADD COLUMN passing INTEGER NOT NULL DEFAULT 0;`,
]

interface Row {
  readonly id: number
  readonly name: string | null
  readonly kind: SnapshotKind
  readonly parent_name: string | null
  readonly created_at: number
  readonly used_bytes: number | null
  readonly used_inodes: number | null
  readonly passing: number
}

export interface SnapshotRecord extends SnapshotInfo {
  readonly id: SnapshotId
  readonly usage: Usage | undefined
  readonly isPassing: boolean
}

/** A state that is about to be made. */
export interface NewState {
  readonly kind: 'active' | 'view'
  readonly parent: string | undefined
  readonly isPassing: boolean
}

/** A layer whose state is to become a committed one. */
export interface NamedLayer {
  readonly id: SnapshotId
  readonly name: string
  readonly parent: string | undefined
}

const COLUMNS = `s.id, s.name, s.kind, p.name AS parent_name, s.created_at, s.used_bytes, s.used_inodes, s.passing
  FROM snapshots s LEFT JOIN snapshots p ON p.id = s.parent`

/** The rows of one driver's states. Its methods are synchronous and each is one transaction. */
export class SnapshotRecords {
  readonly #metadata: Metadata
  readonly #driver: string

  constructor(metadata: Metadata, driver: string) {
    this.#metadata = metadata
    this.#driver = driver
    metadata.migrate('snapshot', SCHEMA)
  }

  /** Registers a state that is about to be made; `finish` makes it visible. */
  begin(key: string, { kind, parent, isPassing }: NewState): SnapshotChain {
    // Durable with `finish`: until then it makes no difference whether power loss takes the row as well.
    return this.#metadata.passingTransaction(() => {
      this.#refuseTaken(key)
      const below = parent === undefined ? undefined : this.#committed(parent).id
      const id = this.#insert(key, kind, below)
      if (isPassing) this.#metadata.run('UPDATE snapshots SET passing = 1 WHERE id = ?', Number(id))
      return [id, ...(below === undefined ? [] : this.chain(below))]
    })
  }

  /** Registers a layer of a stack, which keeps its parent where that is committed already; `commitStack` makes it visible. */
  beginLayer(parent: string | undefined): SnapshotId {
    return this.#metadata.passingTransaction(() =>
      this.#insert(null, 'committed', parent === undefined || !this.isCommitted(parent) ? undefined : this.get(parent).id),
    )
  }

  /** The state is there: the key is given to whoever asks from now on. */
  finish(id: SnapshotId, { isPassing }: Pick<NewState, 'isPassing'>): void {
    const finish = (): number => this.#metadata.run('UPDATE snapshots SET owner = NULL WHERE id = ?', Number(id))
    if (isPassing) this.#metadata.passingTransaction(finish)
    else this.#metadata.transaction(finish)
  }

  /** An active state becomes a committed one with another name. */
  commit(name: string, active: SnapshotRecord): void {
    this.#metadata.transaction(() => {
      this.#refuseTaken(name)
      const present = this.get(active.name)
      // Removed and prepared anew in the meantime: the key stands for a state that nobody sealed.
      if (present.id !== active.id) throw noSuchSnapshot(active.name)
      this.#metadata.run("UPDATE snapshots SET name = ?, kind = 'committed', passing = 0 WHERE id = ?", name, Number(active.id))
    })
  }

  /**
   * The layers of a stack become committed states, all at once, bottom first.
   * Returns the id that each name stands for: another one where somebody else was first.
   */
  commitStack(layers: readonly NamedLayer[]): ReadonlyMap<string, SnapshotId> {
    return this.#metadata.transaction(() => {
      const committed = new Map<string, SnapshotId>()
      for (const { id, name, parent } of layers) {
        if (!this.isCommitted(name)) {
          this.#refuseTaken(name)
          const below = parent === undefined ? null : Number(this.#committed(parent).id)
          this.#metadata.run('UPDATE snapshots SET name = ?, parent = ?, owner = NULL WHERE id = ?', name, below, Number(id))
        }
        committed.set(name, this.get(name).id)
      }
      return committed
    })
  }

  find(name: string): SnapshotRecord | undefined {
    const row = this.#metadata.get<Row>(`SELECT ${COLUMNS} WHERE s.driver = ? AND s.name = ? AND s.owner IS NULL`, this.#driver, name)
    return row === undefined ? undefined : recordOf(row)
  }

  /** The state that a process which is gone was making under a name. */
  findAbandoned(name: string): SnapshotId | undefined {
    const row = this.#metadata.get<{ id: number; owner: string }>(
      'SELECT id, owner FROM snapshots WHERE driver = ? AND name = ? AND owner IS NOT NULL',
      this.#driver,
      name,
    )
    return row === undefined || isAlive(row.owner) ? undefined : idOf(row.id)
  }

  get(name: string): SnapshotRecord {
    const record = this.find(name)
    if (record === undefined) throw noSuchSnapshot(name)
    return record
  }

  isCommitted(name: string): boolean {
    return this.find(name)?.kind === 'committed'
  }

  /** The state's id, then those below it down to the base. */
  chain(id: SnapshotId): SnapshotChain {
    const rows = this.#metadata.all<{ id: number }>(
      `WITH RECURSIVE chain(id, parent, depth) AS (
         SELECT id, parent, 0 FROM snapshots WHERE id = ?
         UNION ALL SELECT s.id, s.parent, chain.depth + 1 FROM snapshots s JOIN chain ON s.id = chain.parent)
       SELECT id FROM chain ORDER BY depth`,
      Number(id),
    )
    return rows.map(row => idOf(row.id)) as [SnapshotId, ...SnapshotId[]]
  }

  setUsage(id: SnapshotId, usage: Usage): void {
    this.#metadata.run('UPDATE snapshots SET used_bytes = ?, used_inodes = ? WHERE id = ?', usage.bytes, usage.inodes, Number(id))
  }

  /** Takes the row away; what is on disk under its id belongs to nobody from then on. */
  delete(name: string): SnapshotId {
    const remove = (): SnapshotId => {
      const { id } = this.get(name)
      let children = this.#children(id)
      if (children > 0) {
        this.deleteAbandoned()
        children = this.#children(id)
      }
      if (children > 0) {
        throw new StrataError(
          'conflict',
          'STRATA_SNAPSHOT_HAS_CHILDREN',
          `Cannot remove snapshot "${name}": ${children === 1 ? 'a snapshot is' : `${children} snapshots are`} based on it`,
        )
      }
      this.deleteId(id)
      return id
    }
    return withReserve(this.#metadata, () =>
      this.find(name)?.isPassing === true ? this.#metadata.passingTransaction(remove) : this.#metadata.transaction(remove),
    )
  }

  /** For use inside a transaction. */
  deleteId(id: SnapshotId): void {
    this.#metadata.run('DELETE FROM snapshots WHERE id = ?', Number(id))
  }

  /** Takes away the row of a state that did not come to be; what is on disk belongs to nobody from then on. */
  discard(id: SnapshotId): void {
    withReserve(this.#metadata, () => this.deleteId(id))
  }

  list(): readonly SnapshotRecord[] {
    return this.#metadata
      .all<Row>(`SELECT ${COLUMNS} WHERE s.driver = ? AND s.owner IS NULL AND s.name IS NOT NULL ORDER BY s.id`, this.#driver)
      .map(recordOf)
  }

  /** The names of the states that may go: on which nothing stands, directly or through others, that is still being made. */
  collectable(): readonly string[] {
    return this.#metadata
      .all<{ name: string }>(
        `WITH RECURSIVE held(id) AS (
           SELECT parent FROM snapshots WHERE owner IS NOT NULL AND parent IS NOT NULL
           UNION SELECT s.parent FROM snapshots s JOIN held ON s.id = held.id WHERE s.parent IS NOT NULL)
         SELECT name FROM snapshots WHERE driver = ? AND owner IS NULL AND name IS NOT NULL AND id NOT IN held ORDER BY id`,
        this.#driver,
      )
      .map(({ name }) => name)
  }

  /** Takes away the rows that processes which are gone left half-made. */
  deleteAbandoned(): void {
    this.#metadata.transaction(() => {
      const rows = this.#metadata.all<{ id: number; owner: string }>(
        'SELECT id, owner FROM snapshots WHERE driver = ? AND owner IS NOT NULL',
        this.#driver,
      )
      for (const row of rows) if (!isAlive(row.owner)) this.deleteId(idOf(row.id))
    })
  }

  has(id: SnapshotId): boolean {
    return this.#metadata.get('SELECT 1 FROM snapshots WHERE id = ?', Number(id)) !== undefined
  }

  /** Throws `alreadyExists` for a key or name that somebody has, or is about to have. */
  refuseTaken(name: string): void {
    this.#metadata.transaction(() => this.#refuseTaken(name))
  }

  #children(id: SnapshotId): number {
    return this.#metadata.get<{ n: number }>('SELECT count(*) AS n FROM snapshots WHERE parent = ?', Number(id))!.n
  }

  #committed(name: string): SnapshotRecord {
    const record = this.get(name)
    if (record.kind !== 'committed') {
      throw new StrataError(
        'invalidArgument',
        'STRATA_PARENT_NOT_COMMITTED',
        `Cannot stand on snapshot "${name}": it is ${record.kind}, not committed`,
      )
    }
    return record
  }

  #refuseTaken(name: string): void {
    const taken = this.#metadata.get<{ id: number; owner: string | null }>(
      'SELECT id, owner FROM snapshots WHERE driver = ? AND name = ?',
      this.#driver,
      name,
    )
    if (taken === undefined) return
    if (taken.owner !== null && !isAlive(taken.owner)) return this.deleteId(idOf(taken.id))
    throw new StrataError('alreadyExists', 'STRATA_SNAPSHOT_EXISTS', `Cannot create snapshot "${name}": it exists already`)
  }

  #insert(name: string | null, kind: SnapshotKind, parent: SnapshotId | undefined): SnapshotId {
    const row = this.#metadata.get<{ id: number }>(
      'INSERT INTO snapshots (driver, name, kind, parent, created_at, owner) VALUES (?, ?, ?, ?, ?, ?) RETURNING id',
      this.#driver,
      name,
      kind,
      parent === undefined ? null : Number(parent),
      Date.now(),
      thisOwner(),
    )
    return idOf(row!.id)
  }
}

function noSuchSnapshot(name: string): StrataError {
  return new StrataError('notFound', 'STRATA_NO_SUCH_SNAPSHOT', `Cannot find snapshot "${name}": no such snapshot`)
}

const idOf = (id: number): SnapshotId => String(id) as SnapshotId

function recordOf(row: Row): SnapshotRecord {
  return {
    id: idOf(row.id),
    name: row.name ?? '',
    kind: row.kind,
    parent: row.parent_name ?? undefined,
    createdAt: new Date(row.created_at),
    isPassing: row.passing === 1,
    usage: row.used_bytes === null || row.used_inodes === null ? undefined : { bytes: row.used_bytes, inodes: row.used_inodes },
  }
}
