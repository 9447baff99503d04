import { type ByteStream, drain, isStrataError } from '../base/index.ts'
import type { BlobInfo } from '../content/index.ts'
import { type Digest, isDigest } from '../oci/index.ts'
import { type ByteRange, parseRange } from './byteRange.ts'
import { answer, answerBytes, type Exchange, isUnchanged, whileConnectionRests } from './exchange.ts'
import type { ServedStores } from './options.ts'
import { RegistryError } from './registryError.ts'
import type { Repositories } from './repositories.ts'
import type { Upstream } from './upstream.ts'

/** Digests of blobs that were read whole since the server started. */
const REMEMBERED = 10_000

interface BlobsOptions {
  readonly stores: ServedStores
  readonly repositories: Repositories
  readonly upstream: Upstream | undefined
}

/** `/v2/<name>/blobs/<digest>` */
export class Blobs {
  readonly #stores: ServedStores
  readonly #repositories: Repositories
  readonly #upstream: Upstream | undefined
  readonly #sound = new Set<Digest>()

  constructor({ stores, repositories, upstream }: BlobsOptions) {
    this.#stores = stores
    this.#repositories = repositories
    this.#upstream = upstream
  }

  /** distribution-spec "Pulling blobs", "Checking if content exists in the registry"; ranges by RFC 9110 section 14 */
  async get(exchange: Exchange): Promise<void> {
    const { request, name, reference } = exchange
    this.#repositories.require(name)
    if (!isDigest(reference) || !this.#repositories.reaches(name, reference)) throw unknown()
    // Who asks whether a damaged blob is here may be about to push it, and heals it.
    if (request.method === 'HEAD' && (await this.#stores.content.stat(reference))?.state === 'damaged') throw unknown()
    const size = await this.#sizeOf(name, reference)
    const etag = `"${reference}"`
    const headers = { 'docker-content-digest': reference, etag, 'accept-ranges': 'bytes', 'content-type': 'application/octet-stream' }
    if (isUnchanged(exchange, etag)) return answer(exchange, 304, headers)
    const isSame = request.headers['if-range'] === undefined || request.headers['if-range'] === etag
    const range = isSame ? parseRange(request.headers.range, size) : undefined
    if (request.method === 'HEAD') return answer(exchange, 200, { ...headers, 'content-length': size })
    if (range === 'unsatisfiable') {
      throw new RegistryError('SIZE_INVALID', 'the range lies outside of the blob', {
        status: 416,
        headers: { 'content-range': `bytes */${size}` },
      })
    }
    const bytes = await this.#open(exchange, { digest: reference, size }, range)
    if (range === undefined) return answerBytes(exchange, { status: 200, headers: { ...headers, 'content-length': size } }, bytes)
    const { start, end } = range
    const head = { ...headers, 'content-length': end - start + 1, 'content-range': `bytes ${start}-${end}/${size}` }
    await answerBytes(exchange, { status: 206, headers: head }, bytes)
  }

  /**
   * distribution-spec "Deleting Blobs": one that was pushed and that no manifest names. A manifest's blobs go with it.
   */
  async delete({ name, reference, ...exchange }: Exchange): Promise<void> {
    this.#repositories.require(name)
    if (!isDigest(reference) || !this.#repositories.reaches(name, reference)) throw unknown()
    if (this.#repositories.reach(name).has(reference)) throw new RegistryError('UNSUPPORTED', 'a manifest names this blob: delete that one')
    this.#repositories.waiting.end(name, [reference])
    answer({ name, reference, ...exchange }, 202)
  }

  async #sizeOf(name: string, digest: Digest): Promise<number> {
    const blob = await this.#stores.content.stat(digest)
    if (isHere(blob)) return blob.size
    const missing = await this.#upstream?.descriptorOf(name, digest)
    if (missing === undefined) throw unknown()
    return missing.size
  }

  async #open(
    exchange: Exchange,
    { digest, size }: { readonly digest: Digest; readonly size: number },
    range: ByteRange | undefined,
  ): Promise<ByteStream> {
    const blob = await this.#stores.content.stat(digest)
    if (!isHere(blob)) {
      const fetched = await this.#upstream?.open(exchange, digest, range ?? { start: 0, end: size - 1 })
      if (fetched === undefined) throw unknown()
      return fetched
    }
    if (range !== undefined) await whileConnectionRests(exchange, () => this.#checkOnce(blob))
    return blob.state === 'derivable' ? this.#held(blob, range) : this.#stored(blob, range)
  }

  /** Parts of a blob cannot be verified by themselves: it is read whole before the first of them goes out. */
  async #checkOnce(blob: BlobInfo): Promise<void> {
    if (this.#sound.has(blob.digest)) return
    await drain(await this.#stores.content.open(blob))
    if (this.#sound.size >= REMEMBERED) this.#sound.clear()
    this.#sound.add(blob.digest)
  }

  async *#stored(blob: BlobInfo, range: ByteRange | undefined): AsyncGenerator<Uint8Array> {
    const { start, end } = range ?? { start: 0, end: blob.size - 1 }
    try {
      yield* first(await this.#stores.content.open(blob, { start }), end - start + 1)
    } catch (error) {
      this.#sound.delete(blob.digest)
      // Another process may have removed it just now.
      throw isStrataError(error, 'notFound') ? unknown() : error
    }
  }

  /** What is made while it is sent needs its layer to the end. */
  async *#held(blob: BlobInfo, range: ByteRange | undefined): AsyncGenerator<Uint8Array> {
    await using lease = this.#stores.leases.create()
    lease.add({ kind: 'blob', id: blob.digest })
    yield* this.#stored(blob, range)
  }
}

/** The first `count` bytes. */
async function* first(bytes: ByteStream, count: number): AsyncGenerator<Uint8Array> {
  let left = count
  if (left === 0) return
  for await (const chunk of bytes) {
    yield left < chunk.length ? chunk.subarray(0, left) : chunk
    left -= chunk.length
    if (left <= 0) return
  }
}

const isHere = (blob: BlobInfo | undefined): blob is BlobInfo => blob !== undefined && blob.state !== 'refetchable'

const unknown = (): RegistryError => new RegistryError('BLOB_UNKNOWN', 'there is no such blob in this repository')
