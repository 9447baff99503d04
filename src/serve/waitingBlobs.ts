import type { Lease, Leases } from '../metadata/index.ts'
import type { Digest } from '../oci/index.ts'

/** Who pushes a blob names it in a manifest within a day. */
const WAIT_MS = 24 * 60 * 60 * 1000
/** More than this many at once wait for nothing; the oldest go. */
const MOST = 20_000

interface Waiting {
  readonly lease: Lease
  readonly until: number
}

/**
 * Blobs that were pushed to a repository, or mounted into it, and manifests by their digest, that no manifest names yet. A lease keeps each from being
 * collected; when it ends they are garbage. When the server ends, too: a client finds that its blob is not there, and the
 * upload of what the store still has costs its bytes once more.
 */
export class WaitingBlobs {
  readonly #leases: Leases
  /** By repository and digest, the oldest first. */
  readonly #blobs = new Map<string, Waiting>()
  /** How many each repository has. */
  readonly #counts = new Map<string, number>()

  constructor(leases: Leases) {
    this.#leases = leases
  }

  /** Begins a lease for a blob that is about to be committed. */
  hold(digest: Digest): Lease {
    const lease = this.#leases.create({ ttlMs: WAIT_MS })
    lease.add({ kind: 'blob', id: digest })
    return lease
  }

  /** The blob is there, and `lease` holds it. */
  add(repository: string, digest: Digest, lease: Lease): void {
    this.#remove(keyOf(repository, digest))
    this.#blobs.set(keyOf(repository, digest), { lease, until: Date.now() + WAIT_MS })
    this.#counts.set(repository, (this.#counts.get(repository) ?? 0) + 1)
    for (const [key, { until }] of this.#blobs) {
      if (until > Date.now() && this.#blobs.size <= MOST) break
      this.#remove(key)
    }
  }

  has(repository: string, digest: Digest): boolean {
    return (this.#blobs.get(keyOf(repository, digest))?.until ?? 0) > Date.now()
  }

  /** Whether anything waits in a repository. */
  knows(repository: string): boolean {
    return this.#counts.has(repository)
  }

  /** These are named by a manifest now, or were deleted. Returns whether any waited. */
  end(repository: string, digests: Iterable<Digest>): boolean {
    return [...digests].map(digest => this.#remove(keyOf(repository, digest))).includes(true)
  }

  close(): void {
    for (const key of this.#blobs.keys()) this.#remove(key)
  }

  #remove(key: string): boolean {
    const waiting = this.#blobs.get(key)
    if (waiting === undefined) return false
    const repository = key.slice(0, key.indexOf(' '))
    const left = this.#counts.get(repository)! - 1
    this.#blobs.delete(key)
    if (left === 0) this.#counts.delete(repository)
    else this.#counts.set(repository, left)
    waiting.lease.release()
    return true
  }
}

const keyOf = (repository: string, digest: Digest): string => `${repository} ${digest}`
