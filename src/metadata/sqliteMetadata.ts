import { chmodSync, closeSync, openSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite'
import { DURABLE, type Durability, errnoOf, StrataError, systemError } from '../base/index.ts'
import type { Metadata, Value } from './metadata.ts'
import { runMigrations } from './migrations.ts'
import { takeReserve, withReserve } from './reserve.ts'
import { isBusy, metadataError } from './sqliteErrors.ts'

/** Every commit syncs the log. https://www.sqlite.org/pragma.html#pragma_synchronous */
const LOG_SYNCED = 'PRAGMA synchronous = FULL'
/** In WAL mode power loss takes commits from the end of the log, and never leaves a half. */
const LOG_IN_ORDER = 'PRAGMA synchronous = NORMAL'
/** A crash of the process does no harm; power loss may. */
const NOT_SYNCED = 'PRAGMA synchronous = OFF'
/** The log goes into the database from this length on. A process that finds one, because the last has not closed it, reads it first: about 1 ms. */
const LOG_PAGES = 250
/** How long a process waits for another one's write lock. */
const BUSY_TIMEOUT_MS = 10_000
/** Statements are few constants; a caller that builds texts must not grow memory without end. */
const CACHED_STATEMENTS = 500

/**
 * Opens the records, and creates them (mode 0600, in an existing directory) where there are none.
 * node:sqlite is loaded by the first call.
 */
export function openMetadata(path: string, durability: Durability = DURABLE): Metadata {
  try {
    createFile(path, durability)
  } catch (error) {
    throw systemError(`open metadata "${path}"`, error)
  }
  takeReserve(path)
  return withReserve({ path }, () => new SqliteMetadata(path, durability))
}

/** Creates the file with its mode before SQLite would with the umask's; -wal and -shm take over its mode. */
function createFile(path: string, durability: Durability): void {
  try {
    // An existing file is never opened here: closing any descriptor of it drops this process's SQLite locks.
    if ((statSync(path).mode & 0o077) !== 0) chmodSync(path, 0o600)
    return
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error
  }
  try {
    closeSync(openSync(path, 'wx', 0o600))
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error
  }
  durability.syncDirectory(dirname(path))
}

class SqliteMetadata implements Metadata {
  readonly path: string
  readonly durability: Durability
  readonly #database: DatabaseSync
  readonly #statements = new Map<string, StatementSync>()
  #versions: Map<string, number> | undefined
  /** How many transactions are open inside each other. */
  #depth = 0

  constructor(path: string, durability: Durability) {
    this.path = path
    this.durability = durability
    const { DatabaseSync } = process.getBuiltinModule('node:sqlite')
    let database: DatabaseSync | undefined
    try {
      database = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS, enableForeignKeyConstraints: true })
      // First: the change to WAL writes as well.
      database.exec(durability.isWanted ? LOG_SYNCED : NOT_SYNCED)
      switchToWal(database)
      database.exec(`PRAGMA wal_autocheckpoint = ${LOG_PAGES}`)
    } catch (error) {
      database?.close()
      throw metadataError(path, error)
    }
    this.#database = database
  }

  migrate(part: string, steps: readonly string[]): void {
    this.#guard(() => {
      this.#versions = runMigrations(this, part, { steps, versions: this.#versions, execute: sql => this.#database.exec(sql) })
    })
  }

  all<Row>(sql: string, ...parameters: readonly Value[]): Row[] {
    return this.#guard(() => this.#statement(sql).all(...(parameters as SQLInputValue[])) as Row[])
  }

  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the caller names the row that its SQL gives
  get<Row>(sql: string, ...parameters: readonly Value[]): Row | undefined {
    return this.#guard(() => this.#statement(sql).get(...(parameters as SQLInputValue[])) as Row | undefined)
  }

  run(sql: string, ...parameters: readonly Value[]): number {
    return this.#guard(() => Number(this.#statement(sql).run(...(parameters as SQLInputValue[])).changes))
  }

  passingTransaction<Result>(work: () => Result): Result {
    if (this.#depth > 0 || !this.durability.isWanted) return this.transaction(work)
    this.#execute(LOG_IN_ORDER)
    try {
      return this.transaction(work)
    } finally {
      this.#execute(LOG_SYNCED)
    }
  }

  transaction<Result>(work: () => Result): Result {
    const savepoint = `nested_${this.#depth}`
    const outermost = this.#depth === 0
    this.#execute(outermost ? 'BEGIN IMMEDIATE' : `SAVEPOINT ${savepoint}`)
    this.#depth += 1
    try {
      const result = work()
      if (result instanceof Promise) {
        // Its failure has no other place to go: the transaction is refused either way.
        result.catch(() => undefined)
        throw new StrataError('internal', 'STRATA_ASYNC_TRANSACTION', 'Cannot run a transaction: its work is asynchronous')
      }
      this.#execute(outermost ? 'COMMIT' : `RELEASE ${savepoint}`)
      return result
    } catch (error) {
      this.#undo(outermost ? ['ROLLBACK'] : [`ROLLBACK TO ${savepoint}`, `RELEASE ${savepoint}`])
      throw error
    } finally {
      this.#depth -= 1
    }
  }

  close(): void {
    this.#statements.clear()
    if (!this.#database.isOpen) return
    this.#database.close()
    takeReserve(this.path)
  }

  [Symbol.dispose](): void {
    this.close()
  }

  /** A full disk or a damaged page can end a transaction by itself; then there is nothing to roll back. */
  #undo(statements: readonly string[]): void {
    if (!this.#database.isTransaction) return
    for (const sql of statements) this.#execute(sql)
  }

  #execute(sql: string): void {
    this.#guard(() => this.#database.exec(sql))
  }

  #statement(sql: string): StatementSync {
    const known = this.#statements.get(sql)
    if (known !== undefined) return known
    const statement = this.#database.prepare(sql)
    if (this.#statements.size >= CACHED_STATEMENTS) this.#statements.clear()
    this.#statements.set(sql, statement)
    return statement
  }

  #guard<Result>(call: () => Result): Result {
    try {
      return call()
    } catch (error) {
      throw metadataError(this.path, error)
    }
  }
}

/** The change to WAL needs the database for itself and does not wait for it, so the wait is here. */
function switchToWal(database: DatabaseSync): void {
  let deadline: number | undefined
  for (;;) {
    try {
      database.exec('PRAGMA journal_mode = WAL')
      return
    } catch (error) {
      // The clock is asked when it is needed: Node loads as much for it as for the database.
      deadline ??= performance.now() + BUSY_TIMEOUT_MS
      if (!isBusy(error) || performance.now() > deadline) throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10)
    }
  }
}
