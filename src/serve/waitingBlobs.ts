import type { Lease, Leases } from '../metadata/index.ts'
import type { Digest } from '../oci/index.ts'

/** Who pushes blobs to a repository names them in a manifest within an hour of the last of them. */
const WAIT_MS = 60 * 60 * 1000
/** Manifests of an index may come from several machines, and their index within a day. */
const DOCUMENT_WAIT_MS = 24 * 60 * 60 * 1000
const SWEEP_MS = 60_000
/** More than this many at once wait for nothing; the oldest go. */
const MOST = 20_000

interface Waiting {
  readonly lease: Lease
  readonly waitMs: number
}

/**
 * Blobs that were pushed to a repository, or mounted into it, and manifests by their digest, that no manifest names yet. A lease
 * keeps each from being collected; when it ends they are garbage: some time after anything was last pushed to the repository.
 * When the server ends, too: a client finds that its blob is not there, and the
 * upload of what the store still has costs its bytes once more.
 */
export class WaitingBlobs {
  readonly #leases: Leases
  /** By repository and digest, the oldest first. */
  readonly #blobs = new Map<string, Waiting>()
  /** The repositories that have some: how many, and when something was last pushed there. */
  readonly #repositories = new Map<string, { count: number; usedAt: number }>()
  readonly #sweeper: NodeJS.Timeout

  constructor(leases: Leases) {
    this.#leases = leases
    this.#sweeper = setInterval(() => this.#dropAbandoned(), SWEEP_MS).unref()
  }

  /** Begins a lease for a blob that is about to be committed. */
  hold(digest: Digest): Lease {
    const lease = this.#leases.create()
    lease.add({ kind: 'blob', id: digest })
    return lease
  }

  /** The blob is there, and `lease` holds it. */
  add(repository: string, digest: Digest, lease: Lease): void {
    this.#add(repository, digest, { lease, waitMs: WAIT_MS })
  }

  /** The same for a manifest that was pushed by its digest alone. */
  addDocument(repository: string, digest: Digest, lease: Lease): void {
    this.#add(repository, digest, { lease, waitMs: DOCUMENT_WAIT_MS })
  }

  #add(repository: string, digest: Digest, waiting: Waiting): void {
    this.#remove(keyOf(repository, digest))
    this.#blobs.set(keyOf(repository, digest), waiting)
    this.#repositories.set(repository, { count: (this.#repositories.get(repository)?.count ?? 0) + 1, usedAt: Date.now() })
    for (const key of this.#blobs.keys()) {
      if (this.#blobs.size <= MOST) break
      this.#remove(key)
    }
  }

  /** Something is being pushed to a repository: what waits there waits on. */
  prolong(repository: string): void {
    const waiting = this.#repositories.get(repository)
    if (waiting !== undefined) waiting.usedAt = Date.now()
  }

  has(repository: string, digest: Digest): boolean {
    return this.#blobs.has(keyOf(repository, digest))
  }

  /** Whether anything waits in a repository. */
  knows(repository: string): boolean {
    return this.#repositories.has(repository)
  }

  /** These are named by a manifest now, or were deleted. Returns whether any waited. */
  end(repository: string, digests: Iterable<Digest>): boolean {
    return [...digests].map(digest => this.#remove(keyOf(repository, digest))).includes(true)
  }

  close(): void {
    clearInterval(this.#sweeper)
    for (const key of this.#blobs.keys()) this.#remove(key)
  }

  #dropAbandoned(): void {
    for (const [key, { waitMs }] of this.#blobs)
      if (this.#repositories.get(repositoryIn(key))!.usedAt < Date.now() - waitMs) this.#remove(key)
  }

  #remove(key: string): boolean {
    const waiting = this.#blobs.get(key)
    if (waiting === undefined) return false
    const repository = this.#repositories.get(repositoryIn(key))!
    this.#blobs.delete(key)
    repository.count -= 1
    if (repository.count === 0) this.#repositories.delete(repositoryIn(key))
    waiting.lease.release()
    return true
  }
}

const keyOf = (repository: string, digest: Digest): string => `${repository} ${digest}`
const repositoryIn = (key: string): string => key.slice(0, key.indexOf(' '))
