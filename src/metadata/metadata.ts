import type { Durability } from '../base/index.ts'

/** What a column can hold. */
export type Value = null | number | bigint | string | Uint8Array

/**
 * The records of one root: an SQLite database that several processes use at once. All calls are
 * synchronous; a read takes microseconds. Rows are plain records whose fields are the columns.
 *
 * The write lock of this database is also the lock of the store's directories: files of a store get
 * their final name, or lose it, only inside `transaction`. So whoever is inside a transaction sees
 * directories that nobody else changes, and records that agree with them.
 *
 * Every method throws a StrataError: `unavailable` (STRATA_METADATA_BUSY) when another process keeps
 * the lock for more than ten seconds, `dataLoss` (STRATA_METADATA_CORRUPT) for a damaged database,
 * `resourceExhausted` for a full disk, `alreadyExists` and `conflict` for a violated constraint.
 */
export interface Metadata extends Disposable {
  /** Where the database is. */
  readonly path: string
  /** What holds for the records, and for the files that stores keep beside them: these sync through it. */
  readonly durability: Durability
  /**
   * Brings the tables of one part up to date. Step n leads from version n to n + 1; steps that were
   * released never change, new ones are added at the end. Costs one SELECT per opened database when
   * nothing is to be done. Throws `unsupported` (STRATA_METADATA_TOO_NEW) when a newer Strata was here.
   */
  migrate(part: string, steps: readonly string[]): void
  /** All rows of a query. */
  all<Row>(sql: string, ...parameters: readonly Value[]): Row[]
  /** The first row of a query, or undefined. */
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the caller names the row that its SQL gives
  get<Row>(sql: string, ...parameters: readonly Value[]): Row | undefined
  /** Executes one statement and gives the number of rows that it changed. */
  run(sql: string, ...parameters: readonly Value[]): number
  /**
   * Runs `work` with the write lock held, and commits: what it wrote is durable when this returns, where that is wanted.
   * When `work` throws, nothing of it happened. Inside another transaction it is a part of that one
   * that can fail alone. `work` must be synchronous; a promise as result is refused.
   */
  transaction<Result>(work: () => Result): Result
  /**
   * As `transaction`, without waiting for the disk: for what a program needs only while it runs, and for steps towards
   * something that a later transaction makes durable. Power loss takes the last of these commits, in order, and all of
   * them are durable with the next `transaction` or `run` of any process.
   */
  passingTransaction<Result>(work: () => Result): Result
  /** Closes the database. Calling it again does nothing. */
  close(): void
}
