import type { IncomingMessage } from 'node:http'
import type { ByteStream } from '../base/index.ts'
import type { DiskContentStore, Ingest } from '../content/index.ts'
import type { Lease } from '../metadata/index.ts'
import type { Digest } from '../oci/index.ts'
import { RegistryError } from './registryError.ts'

/** What a blob is recorded as until a manifest says more. */
const UNKNOWN_TYPE = 'application/octet-stream'

/** How long another process is waited for that has the same upload open. */
const WAIT_MS = 5000

/** One blob on its way into a repository. Its ingest is opened by the first byte, and then it is open until the upload ends. */
export class Upload {
  readonly id: string
  readonly repository: string
  lastUsedAt: number = Date.now()
  #ingest: Ingest | undefined
  #current: { readonly request: IncomingMessage; readonly ended: Promise<void> } | undefined
  #isGone = false

  constructor(id: string, repository: string) {
    this.id = id
    this.repository = repository
  }

  /** Bytes that have arrived. */
  get size(): number {
    return this.#ingest?.size ?? 0
  }

  get isBusy(): boolean {
    return this.#current !== undefined
  }

  /** Where a client goes on. distribution-spec "Pushing a blob in chunks"; nothing yet is `0-0` there, as in one byte. */
  get headers(): Readonly<Record<string, string>> {
    return {
      location: `/v2/${this.repository}/blobs/uploads/${this.id}`,
      range: `0-${Math.max(0, this.size - 1)}`,
      'docker-upload-uuid': this.id,
    }
  }

  /**
   * One request at a time. A newer one ends the older: that one's client has lost its connection and comes back, while
   * this end has not noticed yet.
   */
  async exclusively(request: IncomingMessage, work: () => Promise<void>): Promise<void> {
    while (this.#current !== undefined) {
      this.#current.request.destroy()
      await this.#current.ended
    }
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#current = { request, ended: promise }
    try {
      if (this.#isGone) throw new RegistryError('BLOB_UPLOAD_UNKNOWN', 'this upload has ended')
      await work()
    } finally {
      this.lastUsedAt = Date.now()
      this.#current = undefined
      resolve()
    }
  }

  async open(content: DiskContentStore): Promise<Ingest> {
    const key = `upload ${this.repository} ${this.id}`
    return (this.#ingest ??= await content.ingest(key, { signal: AbortSignal.timeout(WAIT_MS) }))
  }

  async append(content: DiskContentStore, bytes: ByteStream): Promise<void> {
    await (await this.open(content)).write(bytes)
  }

  /** Rejects with `dataLoss` when the bytes are not what the digest says; nothing of them is kept then. */
  async commit(content: DiskContentStore, digest: Digest, lease: Lease): Promise<void> {
    const ingest = await this.open(content)
    // What it is called already by others it stays.
    const known = await content.stat(digest)
    await ingest.commit({ mediaType: known?.mediaType ?? UNKNOWN_TYPE, digest }, { lease })
  }

  /** Ends the upload, and forgets what has arrived. */
  async discard(): Promise<void> {
    this.#isGone = true
    await this.#ingest?.discard()
  }

  /** Leaves what has arrived for somebody else. */
  async close(): Promise<void> {
    this.#isGone = true
    this.#current?.request.destroy()
    await this.#current?.ended
    await this.#ingest?.[Symbol.asyncDispose]()
  }
}
