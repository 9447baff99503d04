import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type ByteStream,
  type CallOptions,
  isStrataError,
  type Logger,
  observed,
  readAtMost,
  StrataError,
  streamOf,
} from '../base/index.ts'
import { type BlobSink, type BlobSource, type OpenOptions, verified } from '../content/index.ts'
import {
  type Descriptor,
  type Digest,
  digestOf,
  isIndex,
  isManifest,
  LIMITS,
  MEDIA_TYPES,
  parseDigest,
  type Reference,
} from '../oci/index.ts'
import { connectHosts } from './connectHosts.ts'
import type { HostChoice } from './hostChoice.ts'
import type { RegistryEnvironment } from './hosts/index.ts'
import { answerError } from './registryError.ts'
import { delayMs, withRetry } from './retry.ts'
import { compose, type HttpResponse, type Send } from './send.ts'

/** Mirrors, certificates and proxies are those of this machine's and this user's configuration, or of the places that are named. */
export interface ConnectOptions extends Partial<RegistryEnvironment> {
  /** Where docker's `config.json` with credentials is. */
  readonly configDirectory: string
  readonly access: 'pull' | 'push'
  /** Hears of mirrors that are passed over. */
  readonly logger?: Logger
  readonly signal?: AbortSignal
}

/** A manifest or index as the registry has it; its bytes are what its digest says. */
export interface RemoteManifest {
  readonly descriptor: Descriptor
  readonly bytes: Buffer
}

/** How often one blob's broken stream is taken up again before the pull gives up. */
const RESUMES = 5
const MAX_TAG_PAGES = 10_000
const MAX_TAGS_BYTES = 4 * 1024 * 1024

const MANIFEST_TYPES = [
  MEDIA_TYPES.manifest,
  MEDIA_TYPES.index,
  MEDIA_TYPES.dockerManifest,
  MEDIA_TYPES.dockerManifestList,
  MEDIA_TYPES.dockerSchema1Signed,
  MEDIA_TYPES.dockerSchema1,
]

/**
 * Connects to the repository that a reference names, at the registry itself and, for reading, at its mirrors; each is
 * asked with the credentials that the user has for it.
 *
 * Rejects with `unavailable` (STRATA_REGISTRY_UNREACHABLE) when nothing answers, as far as that is found out before
 * something is asked; with `permissionDenied` (STRATA_REGISTRY_BLOCKED) for a blocked one.
 */
export async function connectRepository(reference: Reference, options: ConnectOptions): Promise<Repository> {
  const { choice, close } = await connectHosts(reference, options)
  return new Repository(reference, choice, close)
}

/** One repository of a registry, by the distribution-spec: blobs, manifests, tags. */
export class Repository implements BlobSource, BlobSink, AsyncDisposable {
  /** `host/path`, as records of blob sources have it. */
  readonly name: string
  readonly #path: string
  readonly #base: URL
  readonly #hosts: HostChoice
  readonly #send: Send
  readonly #close: () => void

  constructor({ domain, path }: Reference, hosts: HostChoice, close: () => void) {
    this.name = `${domain}/${path}`
    this.#path = path
    this.#base = hosts.base
    this.#hosts = hosts
    this.#send = compose(hosts.send, withRetry)
    this.#close = close
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#close()
  }

  /** Does `work`, and again without the mirrors that gave something for it when that turned out to be wrong. */
  withoutLiars<Result>(work: () => Promise<Result>): Promise<Result> {
    return this.#hosts.withoutLiars(work)
  }

  /**
   * The manifest or index that a tag or digest stands for. distribution-spec "Pulling manifests"
   *
   * Rejects with `notFound` (STRATA_NO_SUCH_MANIFEST), with `dataLoss` (STRATA_DIGEST_MISMATCH) when the bytes are not
   * what the digest says, and with `resourceExhausted` for more than 4 MiB.
   */
  async manifest(tagOrDigest: string, options: CallOptions = {}): Promise<RemoteManifest> {
    const response = await this.#request('GET', `manifests/${tagOrDigest}`, { accept: MANIFEST_TYPES.join(', ') }, options)
    if (response.status === 404) {
      await response.body.discard()
      throw new StrataError(
        'notFound',
        'STRATA_NO_SUCH_MANIFEST',
        `Cannot find "${this.#nameOf(tagOrDigest)}" in its registry: no such manifest`,
        {
          hint: 'Check the name and the tag; a private repository also answers like this without credentials.',
        },
      )
    }
    if (response.status !== 200) throw await answerError(`get the manifest of "${this.#nameOf(tagOrDigest)}"`, response)
    const bytes = await readAtMost(
      response.body,
      Math.max(LIMITS.manifestBytes, LIMITS.indexBytes),
      `the manifest of "${this.#nameOf(tagOrDigest)}"`,
    )
    const mediaType = (response.headers['content-type'] ?? '').split(';')[0]!.trim().toLowerCase()
    const promised = tagOrDigest.includes(':') ? tagOrDigest : response.headers['docker-content-digest']
    const digest = promised === undefined ? digestOf(bytes) : parseDigest(promised)
    if (digestOf(bytes, digest.startsWith('sha512:') ? 'sha512' : 'sha256') !== digest) {
      throw new StrataError(
        'dataLoss',
        'STRATA_DIGEST_MISMATCH',
        `Cannot use the manifest of "${this.#nameOf(tagOrDigest)}": its bytes are not what digest ${digest} says`,
      )
    }
    return { descriptor: { mediaType, digest, size: bytes.length }, bytes }
  }

  /** All tags, in the order of the registry. distribution-spec "Content Discovery" */
  async *tags(options: CallOptions = {}): AsyncGenerator<string> {
    let page: URL | undefined = this.#url('tags/list')
    for (let pages = 0; page !== undefined && pages < MAX_TAG_PAGES; pages += 1) {
      const response: HttpResponse = await this.#send({ method: 'GET', url: page, headers: {}, ...signalOf(options) })
      if (response.status !== 200) throw await answerError(`list the tags of "${this.name}"`, response)
      const { tags } = JSON.parse((await readAtMost(response.body, MAX_TAGS_BYTES)).toString()) as { tags?: readonly string[] | null }
      yield* tags ?? []
      const next: string | undefined = /<([^>]+)>\s*;\s*rel="?next"?/.exec(response.headers['link'] ?? '')?.[1]
      const following: URL | undefined = next === undefined ? undefined : new URL(next, page)
      // The rest of a list is on the same host; anything else is not followed.
      page = following?.origin === this.#base.origin ? following : undefined
    }
  }

  async has(target: Descriptor, options: CallOptions = {}): Promise<boolean> {
    const response = await this.#request('HEAD', this.#pathOf(target), { accept: target.mediaType }, options)
    await response.body.discard()
    if (response.status === 404) return false
    if (response.status !== 200) throw await answerError(`look for ${target.digest} in "${this.name}"`, response)
    return true
  }

  async open(target: Descriptor, options: OpenOptions = {}): Promise<ByteStream> {
    const bytes = await this.openUnverified(target, options)
    return (options.start ?? 0) === 0 ? verified(bytes, target) : bytes
  }

  /** As `open`, for who verifies the bytes anyway, as an ingest does. A stream that breaks is taken up again where it broke. */
  async openUnverified(target: Descriptor, options: OpenOptions = {}): Promise<ByteStream> {
    const start = options.start ?? 0
    // Registries answer 416 to who asks for what comes after the end: a fetch that was interrupted there has it all.
    if (start > 0 && start >= target.size) return streamOf(new Uint8Array())
    return this.#resuming(target, start, await this.#openAt(target, start, options), options)
  }

  /** distribution-spec "Pushing blobs", in two steps: POST, then PUT of the whole. */
  async put(target: Descriptor, bytes: ByteStream, options: CallOptions = {}): Promise<void> {
    if (isManifest(target.mediaType) || isIndex(target.mediaType)) {
      await this.putManifest(target.digest, { descriptor: target, bytes: await readAtMost(bytes, LIMITS.manifestBytes) }, options)
      return
    }
    const location = await this.#beginUpload('', options)
    if (location === undefined) return
    const headers = { 'content-type': 'application/octet-stream', 'content-length': String(target.size) }
    const response = await this.#send({
      method: 'PUT',
      url: withDigest(location, target.digest),
      headers,
      body: bytes,
      ...signalOf(options),
    })
    if (response.status !== 201) throw await answerError(`push ${target.digest} to "${this.name}"`, response)
    await response.body.discard()
  }

  /**
   * Pushes bytes whose digest is known only at their end; resolves with what they turned out to be.
   * distribution-spec "Pushing a blob in chunks", with one chunk.
   */
  async putUnknown(mediaType: string, bytes: ByteStream, options: CallOptions = {}): Promise<Descriptor> {
    const location = (await this.#beginUpload('', options))!
    const sha = createHash('sha256')
    let size = 0
    const counted = observed(bytes, chunk => {
      sha.update(chunk)
      size += chunk.length
    })
    const sent = await this.#send({
      method: 'PATCH',
      url: location,
      headers: { 'content-type': 'application/octet-stream' },
      body: counted,
      ...signalOf(options),
    })
    if (sent.status !== 202 && sent.status !== 204) throw await answerError(`push a layer to "${this.name}"`, sent)
    await sent.body.discard()
    const digest = parseDigest(`sha256:${sha.digest('hex')}`)
    const end = locationOf(sent, location)
    const response = await this.#send({
      method: 'PUT',
      url: withDigest(end, digest),
      headers: { 'content-length': '0' },
      ...signalOf(options),
    })
    if (response.status !== 201) throw await answerError(`push ${digest} to "${this.name}"`, response)
    await response.body.discard()
    return { mediaType, digest, size }
  }

  /** Asks for a blob of another repository of the same registry; true when it is here now. distribution-spec "Mounting a blob from another repository" */
  async mountFrom(repository: string, digest: Digest, options: CallOptions = {}): Promise<boolean> {
    const [domain, path] = [repository.slice(0, repository.indexOf('/')), repository.slice(repository.indexOf('/') + 1)]
    if (!this.name.startsWith(`${domain}/`) || path === this.#path) return false
    return (await this.#beginUpload(`?mount=${encodeURIComponent(digest)}&from=${encodeURIComponent(path)}`, options)) === undefined
  }

  /** distribution-spec "Pushing manifests" @param tagOrDigest what the manifest shall be found under */
  async putManifest(tagOrDigest: string, { descriptor, bytes }: RemoteManifest, options: CallOptions = {}): Promise<void> {
    const response = await this.#request(
      'PUT',
      `manifests/${tagOrDigest}`,
      { 'content-type': descriptor.mediaType },
      { ...options, body: bytes },
    )
    if (response.status !== 201) throw await answerError(`push the manifest of "${this.#nameOf(tagOrDigest)}"`, response)
    await response.body.discard()
  }

  /** Where to upload to; undefined when the registry has the blob already. */
  async #beginUpload(query: string, options: CallOptions): Promise<URL | undefined> {
    const response = await this.#request('POST', `blobs/uploads/${query}`, { 'content-length': '0' }, options)
    if (response.status !== 201 && response.status !== 202) throw await answerError(`push to "${this.name}"`, response)
    await response.body.discard()
    return response.status === 201 ? undefined : locationOf(response, this.#base)
  }

  async #openAt(target: Descriptor, start: number, options: CallOptions): Promise<ByteStream> {
    const range: Readonly<Record<string, string>> = start === 0 ? {} : { range: `bytes=${start}-` }
    const response = await this.#request('GET', this.#pathOf(target), range, options)
    const encoding = response.headers['content-encoding'] ?? 'identity'
    if (encoding !== 'identity' && encoding !== '') {
      await response.body.discard()
      throw new StrataError(
        'unavailable',
        'STRATA_REGISTRY_ANSWER',
        `Cannot get ${target.digest} from "${this.name}": it comes with content encoding "${encoding}"`,
      )
    }
    if (response.status === 200) return start === 0 ? response.body : skip(response.body, start)
    if (response.status === 206 && new RegExp(`^bytes ${start}-`).test(response.headers['content-range'] ?? '')) return response.body
    if (response.status === 206) await response.body.discard()
    throw await answerError(`get ${target.digest} from "${this.name}"`, response)
  }

  async *#resuming(target: Descriptor, start: number, first: ByteStream, options: CallOptions): AsyncGenerator<Uint8Array> {
    let at = start
    let bytes = first
    for (let failures = 0; ;) {
      try {
        for await (const chunk of bytes) {
          at += chunk.length
          yield chunk
          // Progress makes up for earlier failures.
          failures = 0
        }
        if (at >= target.size) return
        this.#hosts.passOver(this.#url(this.#pathOf(target)))
        throw new StrataError(
          'unavailable',
          'STRATA_REGISTRY_ANSWER',
          `Cannot get ${target.digest} from "${this.name}": it ends after ${at} of ${target.size} bytes`,
        )
      } catch (error) {
        if (at >= target.size) return
        failures += 1
        if (failures > RESUMES || !isStrataError(error, 'unavailable') || options.signal?.aborted === true) throw error
        await sleep(delayMs(failures))
        bytes = await this.#openAt(target, at, options)
      }
    }
  }

  #request(
    method: 'GET' | 'HEAD' | 'POST' | 'PUT',
    path: string,
    headers: Readonly<Record<string, string>>,
    { signal, body }: CallOptions & { readonly body?: Uint8Array },
  ): Promise<HttpResponse> {
    return this.#send({
      method,
      url: this.#url(path),
      headers,
      ...(body === undefined ? {} : { body }),
      ...signalOf({ ...(signal === undefined ? {} : { signal }) }),
    })
  }

  #url(path: string): URL {
    return new URL(`${this.#path}/${path}`, this.#base)
  }

  #pathOf(target: Descriptor): string {
    return `${isManifest(target.mediaType) || isIndex(target.mediaType) ? 'manifests' : 'blobs'}/${target.digest}`
  }

  #nameOf(tagOrDigest: string): string {
    return `${this.name}${tagOrDigest.includes(':') ? '@' : ':'}${tagOrDigest}`
  }
}

const signalOf = ({ signal }: CallOptions): { readonly signal?: AbortSignal } => (signal === undefined ? {} : { signal })

function locationOf(response: HttpResponse, base: URL): URL {
  const location = response.headers['location']
  if (location === undefined || !URL.canParse(location, base.href)) {
    throw new StrataError('unavailable', 'STRATA_REGISTRY_ANSWER', `Cannot push to "${base.host}": it does not say where to upload to`)
  }
  return new URL(location, base)
}

function withDigest(location: URL, digest: Digest): URL {
  const url = new URL(location)
  url.searchParams.set('digest', digest)
  return url
}

async function* skip(bytes: ByteStream, count: number): AsyncGenerator<Uint8Array> {
  let left = count
  for await (const chunk of bytes) {
    if (left < chunk.length) yield chunk.subarray(left)
    left = Math.max(0, left - chunk.length)
  }
}
