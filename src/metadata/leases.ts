import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { isAlive, isStrataError, StrataError, thisOwner } from '../base/index.ts'
import type { Metadata } from './metadata.ts'

/** Something that a collection can remove: a blob by its digest, a layer by its DiffId, a snapshot by its id, … */
export interface Resource {
  readonly kind: string
  readonly id: string
}

/**
 * Keeps resources from being collected while something is made of them. Who makes something adds a
 * resource first and looks whether it exists afterwards, in a transaction; then it exists until the
 * lease ends. A resource can be added before it exists. Leases need not survive power loss, which also
 * ends the processes that they are for.
 */
export interface Lease extends AsyncDisposable {
  readonly id: string
  /** Holds more resources. Throws `conflict` when the lease has ended. */
  add(...resources: readonly Resource[]): void
  /** Ends the lease. Calling it again does nothing. */
  release(): void
}

export interface LeaseOptions {
  /** How long the lease holds when nobody releases it, because its process was killed: 24 hours by default. */
  readonly ttlMs?: number
}

const DAY_MS = 24 * 60 * 60 * 1000

const MIGRATIONS = [
  `CREATE TABLE leases (
     id TEXT PRIMARY KEY,
     expires_at INTEGER NOT NULL,       -- milliseconds of the wall clock
     boot_id TEXT NOT NULL,
     expires_uptime INTEGER NOT NULL    -- milliseconds of the monotonic clock of that boot
   ) STRICT, WITHOUT ROWID;
   CREATE TABLE lease_resources (
     lease TEXT NOT NULL REFERENCES leases (id) ON DELETE CASCADE,
     kind TEXT NOT NULL,
     id TEXT NOT NULL,
     PRIMARY KEY (lease, kind, id)
   ) STRICT, WITHOUT ROWID;`,
  `ALTER TABLE leases ADD COLUMN owner TEXT NOT NULL DEFAULT '';`,
]

/** The leases of one root, of all processes. */
export class Leases {
  readonly #metadata: Metadata

  constructor(metadata: Metadata) {
    this.#metadata = metadata
    metadata.migrate('leases', MIGRATIONS)
  }

  /** Begins a lease that holds nothing yet. `await using lease = leases.create()` ends it with its scope. */
  create(options: LeaseOptions = {}): Lease {
    const ttlMs = options.ttlMs ?? DAY_MS
    const id = randomBytes(12).toString('hex')
    this.#metadata.passingTransaction(() =>
      this.#metadata.run(
        'INSERT INTO leases (id, expires_at, boot_id, expires_uptime, owner) VALUES (?, ?, ?, ?, ?)',
        id,
        Date.now() + ttlMs,
        bootId(),
        uptimeMs() + ttlMs,
        thisOwner(),
      ),
    )
    return new MetadataLease(this.#metadata, id)
  }

  /** What leases hold now. */
  resources(): readonly Resource[] {
    return this.#metadata.all<{ kind: string; id: string }>(
      `SELECT DISTINCT kind, lease_resources.id FROM lease_resources JOIN leases ON leases.id = lease WHERE NOT ${EXPIRED}`,
      ...now(),
    )
  }

  /** Forgets the leases whose time is over. */
  expire(): void {
    this.#metadata.run(`DELETE FROM leases WHERE ${EXPIRED}`, ...now())
  }

  /**
   * Ends the leases of processes that are gone. Without this their leases hold for the rest of their time, so that
   * a pull that was killed can be taken up again.
   */
  endAbandoned(): void {
    this.#metadata.transaction(() => {
      for (const { id, owner } of this.#metadata.all<{ id: string; owner: string }>('SELECT id, owner FROM leases'))
        if (!isAlive(owner)) this.#metadata.run('DELETE FROM leases WHERE id = ?', id)
    })
  }
}

/**
 * Within one boot only the monotonic clock counts, so that setting the wall clock forward takes
 * nothing away from a running pull; after a reboot the wall clock is all there is.
 */
const EXPIRED = '(CASE WHEN boot_id = ? THEN expires_uptime <= ? ELSE expires_at <= ? END)'

function now(): [string, number, number] {
  return [bootId(), uptimeMs(), Date.now()]
}

/** Milliseconds since boot: what hrtime counts, the same in all processes. */
function uptimeMs(): number {
  return Number(process.hrtime.bigint() / 1_000_000n)
}

let knownBootId: string | undefined

function bootId(): string {
  knownBootId ??= readBootId()
  return knownBootId
}

function readBootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    // Not Linux: a name that no later process has makes the wall clock decide.
    return randomBytes(16).toString('hex')
  }
}

class MetadataLease implements Lease {
  readonly id: string
  readonly #metadata: Metadata

  constructor(metadata: Metadata, id: string) {
    this.#metadata = metadata
    this.id = id
  }

  add(...resources: readonly Resource[]): void {
    let last: Resource | undefined
    try {
      this.#metadata.passingTransaction(() => {
        for (last of resources)
          this.#metadata.run('INSERT OR IGNORE INTO lease_resources (lease, kind, id) VALUES (?, ?, ?)', this.id, last.kind, last.id)
      })
    } catch (error) {
      // The only constraint that this can violate is the one on the lease.
      if (!isStrataError(error, 'conflict')) throw error
      throw new StrataError('conflict', 'STRATA_LEASE_ENDED', `Cannot hold ${last!.kind} "${last!.id}": the lease has ended`, {
        cause: error,
      })
    }
  }

  release(): void {
    this.#metadata.passingTransaction(() => this.#metadata.run('DELETE FROM leases WHERE id = ?', this.id))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.release()
  }
}
