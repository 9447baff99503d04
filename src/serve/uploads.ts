import { randomUUID } from 'node:crypto'
import { type ByteStream, isStrataError, SingleFlight, StrataError } from '../base/index.ts'
import { type Digest, isDigest } from '../oci/index.ts'
import { parseContentRange } from './byteRange.ts'
import { announcedBytes, answer, bodyOf, type Exchange, whileConnectionRests } from './exchange.ts'
import type { ServedStores } from './options.ts'
import { RegistryError } from './registryError.ts'
import type { Repositories } from './repositories.ts'
import { Upload } from './upload.ts'

/** Uploads that are open at once, of all clients. Each may have a file open. */
const MOST_UPLOADS = 256
/** Who has sent nothing for an hour has given up. */
const ABANDONED_AFTER_MS = 60 * 60 * 1000
/** Who begins an upload sends its first byte at once. */
const EMPTY_ABANDONED_AFTER_MS = 60_000
const SWEEP_MS = 15_000
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/**
 * `/v2/<name>/blobs/uploads/…`. An upload is an ingest of the content store, so its bytes outlive this server: the next one
 * goes on with it for a day. A blob that is whole waits in its repository for a manifest that names it.
 */
export class Uploads implements AsyncDisposable {
  readonly #stores: ServedStores
  readonly #repositories: Repositories
  readonly #open = new Map<string, Upload>()
  readonly #resuming = new SingleFlight<Upload | undefined>()
  readonly #sweeper: NodeJS.Timeout

  constructor(stores: ServedStores, repositories: Repositories) {
    this.#stores = stores
    this.#repositories = repositories
    this.#sweeper = setInterval(() => void this.#dropAbandoned(), SWEEP_MS).unref()
  }

  /** Keeps what has arrived, for the next server. */
  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#sweeper)
    await Promise.all([...this.#open.values()].map(upload => upload.close()))
    this.#open.clear()
  }

  /** distribution-spec "Pushing a blob monolithically", "Pushing a blob in chunks", "Mounting a blob from another repository" */
  async begin(exchange: Exchange): Promise<void> {
    const { name, query } = exchange
    const [mount, from] = [query.get('mount'), query.get('from')]
    if (mount !== null && isDigest(mount) && from !== null && (await this.#mount(name, mount, from)))
      return answer(exchange, 201, this.#placeOf(name, mount))
    const algorithm = query.get('digest-algorithm') ?? 'sha256'
    if (algorithm !== 'sha256' && algorithm !== 'sha512')
      throw new RegistryError('DIGEST_INVALID', 'this digest algorithm is not supported')
    const digest = query.has('digest') ? digestIn(exchange) : undefined
    const upload = this.#create(name)
    if (digest !== undefined) return this.#receiveWhole(exchange, upload, digest)
    answer(exchange, 202, upload.headers)
  }

  /** One chunk, or all that there is. */
  async append(exchange: Exchange): Promise<void> {
    const upload = await this.#find(exchange)
    await upload.exclusively(exchange.request, () => this.#receive(exchange, upload))
    answer(exchange, 202, upload.headers)
  }

  /** The end of an upload, with its last bytes or without. */
  async finish(exchange: Exchange): Promise<void> {
    const digest = digestIn(exchange)
    await this.#receiveWhole(exchange, await this.#find(exchange), digest)
  }

  async status(exchange: Exchange): Promise<void> {
    const upload = await this.#find(exchange)
    answer(exchange, 204, upload.headers)
  }

  /** distribution-spec "Cancel a blob upload" */
  async cancel(exchange: Exchange): Promise<void> {
    const upload = await this.#find(exchange)
    await upload.exclusively(exchange.request, () => this.#forget(upload))
    answer(exchange, 204)
  }

  async #receiveWhole(exchange: Exchange, upload: Upload, digest: Digest): Promise<void> {
    await upload.exclusively(exchange.request, async () => {
      await this.#receive(exchange, upload)
      await whileConnectionRests(exchange, () => this.#commit(upload, digest))
    })
    answer(exchange, 201, this.#placeOf(exchange.name, digest))
  }

  /** Appends a request's body, which must be what its headers say, and begin where the upload stands. */
  async #receive(exchange: Exchange, upload: Upload): Promise<void> {
    this.#repositories.waiting.prolong(upload.repository)
    const announced = announcedBytes(exchange)
    const range = parseContentRange(exchange.request.headers['content-range'])
    const length = range === undefined || range === 'invalid' ? announced : range.end - range.start + 1
    if (range === 'invalid' || (range !== undefined && range.start !== upload.size))
      throw new RegistryError('BLOB_UPLOAD_INVALID', `this upload goes on at byte ${upload.size}`, { status: 416, headers: upload.headers })
    if (range !== undefined && announced !== undefined && announced !== length)
      throw new RegistryError('SIZE_INVALID', 'Content-Length and Content-Range do not agree')
    if (announced === 0) return
    try {
      await upload.append(this.#stores.content, atMost(wholeBodyOf(exchange), length ?? Infinity))
    } catch (error) {
      // What was too much is part of the file, and a full disk keeps nothing: neither can be gone on with.
      if (error instanceof RegistryError || isStrataError(error, 'resourceExhausted')) await this.#forget(upload)
      throw error
    }
  }

  async #commit(upload: Upload, digest: Digest): Promise<void> {
    const { waiting } = this.#repositories
    const lease = waiting.hold(digest)
    try {
      await upload.commit(this.#stores.content, digest, lease)
      waiting.add(upload.repository, digest, lease)
    } catch (error) {
      lease.release()
      if (isStrataError(error, 'dataLoss')) throw new RegistryError('DIGEST_INVALID', 'the bytes have another digest')
      throw error
    } finally {
      await this.#forget(upload)
    }
  }

  async #forget(upload: Upload): Promise<void> {
    this.#open.delete(upload.id)
    await upload.discard()
  }

  /** Whoever may pull may pull from every repository, so a blob that one of them has can be had in another without its bytes. */
  async #mount(name: string, digest: Digest, from: string): Promise<boolean> {
    if (this.#repositories.find(from) === undefined || !this.#repositories.reaches(from, digest)) return false
    const { waiting } = this.#repositories
    const lease = waiting.hold(digest)
    const blob = await this.#stores.content.stat(digest)
    if (blob?.state !== 'kept' && blob?.state !== 'derivable') {
      lease.release()
      return false
    }
    waiting.add(name, digest, lease)
    return true
  }

  #create(name: string): Upload {
    if (!this.#makeRoom()) throw new RegistryError('TOOMANYREQUESTS', 'too many uploads are open', { headers: { 'retry-after': '10' } })
    const upload = new Upload(randomUUID(), name)
    this.#open.set(upload.id, upload)
    return upload
  }

  /**
   * Where too many are open the one goes on which nobody works, and which has nothing or was left alone for longest. What it
   * has is on the disk, and can be gone on with. False when all are worked on.
   */
  #makeRoom(): boolean {
    if (this.#open.size < MOST_UPLOADS) return true
    const idle = [...this.#open.values()].filter(({ isBusy }) => !isBusy)
    const [first] = idle.sort((a, b) => Math.min(a.size, 1) - Math.min(b.size, 1) || a.lastUsedAt - b.lastUsedAt)
    if (first === undefined) return false
    this.#open.delete(first.id)
    // Whoever goes on with it waits until it is closed.
    void first.close().catch(() => undefined)
    return true
  }

  async #find({ name, reference }: Exchange): Promise<Upload> {
    const upload = this.#open.get(reference) ?? (await this.#resuming.run(`${name} ${reference}`, () => this.#resume(name, reference)))
    if (upload?.repository === name) return upload
    throw new RegistryError('BLOB_UPLOAD_UNKNOWN', 'there is no such upload in this repository')
  }

  /** An upload that an earlier server of this store has begun. */
  async #resume(name: string, id: string): Promise<Upload | undefined> {
    if (!UUID.test(id) || !this.#makeRoom()) return undefined
    const upload = new Upload(id, name)
    await upload.open(this.#stores.content)
    if (upload.size === 0) await upload.discard()
    else this.#open.set(id, upload)
    return upload.size === 0 ? undefined : upload
  }

  async #dropAbandoned(): Promise<void> {
    for (const upload of this.#open.values()) {
      const patienceMs = upload.size === 0 ? EMPTY_ABANDONED_AFTER_MS : ABANDONED_AFTER_MS
      if (upload.isBusy) this.#repositories.waiting.prolong(upload.repository)
      else if (upload.lastUsedAt < Date.now() - patienceMs) await this.#forget(upload).catch(() => undefined)
    }
  }

  #placeOf(name: string, digest: Digest): Readonly<Record<string, string>> {
    return { location: `/v2/${name}/blobs/${digest}`, 'docker-content-digest': digest }
  }
}

/** The digest that a request names. @throws RegistryError DIGEST_INVALID */
function digestIn({ query }: Exchange): Digest {
  const text = query.get('digest') ?? ''
  if (isDigest(text)) return text
  throw new RegistryError('DIGEST_INVALID', 'a digest is sha256:<64 lower-case hex> or sha512:<128 lower-case hex>')
}

/** A client that goes away in the middle ends the body, too, and that is no whole one: the upload can be gone on with. */
async function* wholeBodyOf(exchange: Exchange): AsyncGenerator<Uint8Array> {
  yield* bodyOf(exchange)
  if (!exchange.request.complete) throw new StrataError('cancelled', 'STRATA_CANCELLED', 'Cannot receive a blob: the client has gone')
}

async function* atMost(bytes: ByteStream, limit: number): AsyncGenerator<Uint8Array> {
  let left = limit
  for await (const chunk of bytes) {
    left -= chunk.length
    if (left < 0) throw new RegistryError('SIZE_INVALID', 'the body is longer than announced')
    yield chunk
  }
  if (left > 0 && left !== Infinity) throw new RegistryError('SIZE_INVALID', 'the body is shorter than announced')
}
