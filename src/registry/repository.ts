import { createHash } from 'node:crypto'
import {
  type ByteStream,
  type CallOptions,
  type ErrorKind,
  isStrataError,
  type Logger,
  observed,
  pause,
  readAtMost,
  sliceOf,
  StrataError,
  streamOf,
} from '../base/index.ts'
import { type BlobSource, type OpenOptions, verified } from '../content/index.ts'
import {
  type Descriptor,
  describeBytes,
  type Digest,
  digestAlgorithm,
  digestHex,
  digestOf,
  isDigest,
  isForeignLayer,
  isIndex,
  isManifest,
  isTag,
  LIMITS,
  MEDIA_TYPES,
  parseDigest,
  parseIndex,
  publisherHint,
  type Reference,
} from '../oci/index.ts'
import { downloadBlob } from './blobDownload.ts'
import { locationOf, uploadBlob, type UploadHost, type UploadOptions, withDigest } from './blobUpload.ts'
import { connectHosts } from './connectHosts.ts'
import type { HostChoice } from './hostChoice.ts'
import type { RegistryEnvironment } from './hosts/index.ts'
import type { RateLimit } from './limit.ts'
import { answerError, manifestPushError, pushError } from './registryError.ts'
import { delayMs, withRetry } from './retry.ts'
import { callOf, compose, type HttpResponse, type Send } from './send.ts'

/** Mirrors, certificates and proxies are those of this machine's and this user's configuration, or of the places that are named. */
export interface ConnectOptions extends Partial<RegistryEnvironment> {
  /** Where docker's `config.json` with credentials is. */
  readonly configDirectory: string
  readonly access: 'pull' | 'push'
  /** Shared with other connections of the process. Default: as fast as it goes. */
  readonly rateLimit?: RateLimit
  /** Whose requests these are, as `Via` says it; RFC 9110 section 7.6.3. */
  readonly via?: string | undefined
  /** Hears of mirrors that are passed over. */
  readonly logger?: Logger
  /** Names of mirrors that are not asked; gets those that lie. Shared with other connections of the process. */
  readonly distrusted?: Set<string>
  readonly signal?: AbortSignal
}

export interface RangeOptions extends OpenOptions {
  /** The first byte that is not wanted any more; default the end. */
  readonly end?: number
}

/** A manifest or index as the registry has it; its bytes are what its digest says. */
export interface RemoteManifest {
  readonly descriptor: Descriptor
  readonly bytes: Buffer
}

/** How often a push of bytes that cannot be taken up again is begun anew. */
const REPEATS = 2
/** What registries without the referrers API answer: the spec asks for 404, some do not know the path. */
const NO_SUCH_API: ReadonlySet<number> = new Set([400, 404, 405, 501])
/** What a registry says of a repository that is not for us. */
const REFUSALS: ReadonlySet<ErrorKind> = new Set(['unauthorized', 'permissionDenied', 'notFound'])
const MAX_TAG_PAGES = 10_000
/** Of so many pages each has a hundred entries, where there are as many as are read. */
const MAX_REFERRER_PAGES = 100
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
  return new Repository(reference, choice, { close, mayUseMore: options.rateLimit === undefined })
}

interface RepositoryConnections {
  readonly close: () => void
  /** Whether a slow connection may be helped by others. */
  readonly mayUseMore: boolean
}

/** One repository of a registry, by the distribution-spec: blobs, manifests, tags. */
export class Repository implements BlobSource, AsyncDisposable {
  /** `host/path`, as records of blob sources have it. */
  readonly name: string
  readonly #path: string
  readonly #base: URL
  readonly #hosts: HostChoice
  readonly #send: Send
  readonly #close: () => void
  readonly #mayUseMore: boolean
  /** Uploads that the registry has begun in the place of mounts; nothing has been sent to them. */
  readonly #begunUploads: URL[] = []

  constructor({ domain, path }: Reference, hosts: HostChoice, connections: RepositoryConnections) {
    this.name = `${domain}/${path}`
    this.#path = path
    this.#base = hosts.base
    this.#hosts = hosts
    this.#send = compose(hosts.send, withRetry)
    this.#close = connections.close
    this.#mayUseMore = connections.mayUseMore
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#close()
  }

  /**
   * Does `work`, and again without the mirrors that gave something for it when that turned out to be wrong.
   *
   * @param isLie errors that say so, beside those about bytes
   */
  withoutLiars<Result>(work: () => Promise<Result>, isLie?: (error: unknown) => boolean): Promise<Result> {
    return this.#hosts.withoutLiars(work, isLie)
  }

  /** As `withoutLiars`, of what was read before and cannot be read again: the mirrors that gave it are asked for nothing more. */
  distrustGivers(error: unknown): void {
    this.#hosts.distrustGivers(error)
  }

  /**
   * The manifest or index that a tag or digest stands for. distribution-spec "Pulling manifests"
   *
   * Rejects with `notFound` (STRATA_NO_SUCH_MANIFEST), with `dataLoss` (STRATA_DIGEST_MISMATCH) when the bytes are not
   * what the digest says, and with `resourceExhausted` for more than 4 MiB.
   */
  async manifest(tagOrDigest: string, options: CallOptions = {}): Promise<RemoteManifest> {
    const response = await this.#request('GET', pathTo('manifests', tagOrDigest), { accept: MANIFEST_TYPES.join(', ') }, options)
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

  /**
   * All tags, in the order of the registry. distribution-spec "Listing Tags"
   *
   * Rejects with `unavailable` (STRATA_REGISTRY_ANSWER) for what is no list of tags, or has no end.
   */
  async *tags(options: CallOptions = {}): AsyncGenerator<string> {
    let page: URL | undefined = this.#url('tags/list')
    for (let pages = 0; page !== undefined; pages += 1) {
      if (pages === MAX_TAG_PAGES) throw this.#badTagList(`it has more than ${MAX_TAG_PAGES} pages`)
      const response: HttpResponse = await this.#send({ method: 'GET', url: page, headers: {}, ...callOf(options) })
      if (response.status !== 200) throw await answerError(`list the tags of "${this.name}"`, response)
      const tags = readTagList(await readAtMost(response.body, MAX_TAGS_BYTES, `the tags of "${this.name}"`))
      if (tags === undefined) throw this.#badTagList('its registry gives no list of tags')
      yield* tags
      page = this.#nextPage(response, page)
    }
  }

  /**
   * The manifests whose subject is `digest`: by the API, and where the registry has none by the tag that clients keep
   * in its place. distribution-spec "Listing Referrers", "Referrers Tag Schema"
   *
   * Rejects with `invalidArgument` (STRATA_MANIFEST_INVALID) for a list that is no index, and with `unavailable`
   * (STRATA_REGISTRY_ANSWER) for one that has no end.
   */
  async referrers(digest: Digest, options: CallOptions = {}): Promise<readonly Descriptor[]> {
    const referrers: Descriptor[] = []
    let pages = 0
    for (let page: URL | undefined = this.#url(pathTo('referrers', digest)); page !== undefined;) {
      pages += 1
      if (pages > MAX_REFERRER_PAGES) {
        const state = `the list has more than ${MAX_REFERRER_PAGES} pages`
        throw new StrataError('unavailable', 'STRATA_REGISTRY_ANSWER', `Cannot list what refers to ${digest} in "${this.name}": ${state}`)
      }
      const response: HttpResponse = await this.#send({
        method: 'GET',
        url: page,
        headers: { accept: MEDIA_TYPES.index },
        ...callOf(options),
      })
      if (NO_SUCH_API.has(response.status)) {
        await response.body.discard()
        return this.#taggedReferrers(digest, options)
      }
      if (response.status !== 200) throw await answerError(`list what refers to ${digest} in "${this.name}"`, response)
      const bytes = await readAtMost(response.body, LIMITS.indexBytes, `the referrers of "${this.#nameOf(digest)}"`)
      referrers.push(...parseIndex(bytes).manifests)
      page = referrers.length < LIMITS.indexEntries ? this.#nextPage(response, page) : undefined
    }
    return referrers
  }

  async #taggedReferrers(digest: Digest, options: CallOptions): Promise<readonly Descriptor[]> {
    try {
      const { descriptor, bytes } = await this.manifest(referrersTag(digest), options)
      return parseIndex(bytes, descriptor.mediaType).manifests
    } catch (error) {
      if (isStrataError(error, 'notFound')) return []
      throw error
    }
  }

  #badTagList(state: string): StrataError {
    return new StrataError('unavailable', 'STRATA_REGISTRY_ANSWER', `Cannot list the tags of "${this.name}": ${state}`)
  }

  async has(target: Descriptor, options: CallOptions = {}): Promise<boolean> {
    const response = await this.#request('HEAD', this.#pathOf(target), { accept: target.mediaType }, options)
    await response.body.discard()
    if (response.status === 404) return false
    if (response.status !== 200) throw await answerError(`look for ${target.digest} in "${this.name}"`, response)
    return true
  }

  async open(target: Descriptor, options: RangeOptions = {}): Promise<ByteStream> {
    const bytes = await this.openUnverified(target, options)
    return (options.start ?? 0) === 0 && (options.end ?? target.size) >= target.size ? verified(bytes, target) : bytes
  }

  /**
   * As `open`, for who verifies the bytes anyway, as an ingest does. A stream that breaks is taken up again where it broke, and a
   * large blob that comes slowly is fetched over several connections.
   */
  async openUnverified(target: Descriptor, { start = 0, end = target.size, signal, onProgress }: RangeOptions = {}): Promise<ByteStream> {
    // Registries answer 416 to who asks for what comes after the end: a fetch that was interrupted there has it all.
    if (start > 0 && start >= end) return streamOf()
    return downloadBlob({
      name: `${target.digest} from "${this.name}"`,
      start,
      end,
      open: (from, own) => this.#openAt(target, { start: from, end }, { signal: own, onProgress }),
      onShort: () => this.#hosts.passOver(this.#url(this.#pathOf(target))),
      openRange: this.#mayUseMore
        ? (from, to, own) => this.#openAt(target, { start: from, end: to, exact: true }, { signal: own, onProgress })
        : undefined,
      signal,
    })
  }

  /** distribution-spec "Pushing blobs"; of a large blob what did not arrive is sent again, and no more. See `uploadBlob`. */
  async put(target: Descriptor, source: BlobSource, options: UploadOptions = {}): Promise<void> {
    if (isManifest(target.mediaType) || isIndex(target.mediaType)) {
      const bytes = await readAtMost(await source.open(target, options), LIMITS.manifestBytes)
      await this.putManifest(target.digest, { descriptor: target, bytes }, options)
      return
    }
    // Only once: the registry may have forgotten it, and all others that were begun with it.
    let begun = this.#begunUploads.pop()
    const begin = async (call: CallOptions): Promise<URL | undefined> => {
      const location = begun ?? (await this.#beginUpload('', call))
      begun = undefined
      return location
    }
    const host: UploadHost = {
      name: this.name,
      send: this.#send,
      begin,
      has: (blob, call) => this.has(blob, call),
    }
    await uploadBlob(host, target, source, options)
  }

  /**
   * Pushes bytes whose digest is known only at their end; resolves with what they turned out to be.
   * What breaks is sent anew: nobody knows yet whether the bytes are the same again.
   * distribution-spec "Pushing a blob in chunks", with one chunk.
   */
  async putUnknown(mediaType: string, open: () => Promise<ByteStream>, options: CallOptions = {}): Promise<Descriptor> {
    for (let failures = 0; ;) {
      try {
        return await this.#putUnknown(mediaType, await open(), options)
      } catch (error) {
        failures += 1
        if (failures > REPEATS || !isStrataError(error, 'unavailable') || options.signal?.aborted === true) throw error
        await pause(delayMs(failures), options.signal)
      }
    }
  }

  async #putUnknown(mediaType: string, bytes: ByteStream, options: CallOptions): Promise<Descriptor> {
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
      ...callOf(options),
    })
    if (sent.status !== 202 && sent.status !== 204) throw await pushError(`a layer to "${this.name}"`, sent)
    await sent.body.discard()
    const digest = parseDigest(`sha256:${sha.digest('hex')}`)
    const end = locationOf(sent, location, this.name)
    const response = await this.#send({
      method: 'PUT',
      url: withDigest(end, digest),
      headers: { 'content-length': '0' },
      ...callOf(options),
    })
    if (response.status !== 201) throw await pushError(`${digest} to "${this.name}"`, response)
    await response.body.discard()
    return { mediaType, digest, size }
  }

  /**
   * Asks for a blob of another repository of the same registry; true when it is here now. A source that we may not read
   * is none. distribution-spec "Mounting a blob from another repository"
   */
  async mountFrom(repository: string, digest: Digest, options: CallOptions = {}): Promise<boolean> {
    const [domain, path] = [repository.slice(0, repository.indexOf('/')), repository.slice(repository.indexOf('/') + 1)]
    if (!this.name.startsWith(`${domain}/`) || path === this.#path) return false
    try {
      const upload = await this.#beginUpload(`?mount=${encodeURIComponent(digest)}&from=${encodeURIComponent(path)}`, options)
      if (upload !== undefined) this.#begunUploads.push(upload)
      return upload === undefined
    } catch (error) {
      if (isStrataError(error) && REFUSALS.has(error.kind)) return false
      throw error
    }
  }

  /**
   * distribution-spec "Pushing manifests"
   *
   * @param tagOrDigest what the manifest shall be found under
   * Resolves with whether the registry lists it with the referrers of its subject. Rejects with `conflict`
   * (STRATA_REGISTRY_LACKS_PARTS) when the registry has not all that it names.
   */
  async putManifest(
    tagOrDigest: string,
    { descriptor, bytes }: RemoteManifest,
    options: CallOptions = {},
  ): Promise<{ readonly isListed: boolean }> {
    const response = await this.#request(
      'PUT',
      pathTo('manifests', tagOrDigest),
      { 'content-type': descriptor.mediaType },
      { ...options, body: bytes },
    )
    if (response.status !== 201) throw await manifestPushError(this.#nameOf(tagOrDigest), response)
    await response.body.discard()
    return { isListed: response.headers['oci-subject'] !== undefined }
  }

  /**
   * Pushes a manifest that refers to another one, and sees to it that `referrers` finds it.
   * distribution-spec "Pushing Manifests with Subject"
   *
   * @param referrer.descriptor with the artifactType and annotations that a list of referrers shows
   */
  async putReferrer(subject: Digest, referrer: RemoteManifest, options: CallOptions = {}): Promise<void> {
    const { isListed } = await this.putManifest(referrer.descriptor.digest, referrer, options)
    if (isListed) return
    const before = await this.#taggedReferrers(subject, options)
    if (before.some(({ digest }) => digest === referrer.descriptor.digest)) return
    const manifests = [...before, referrer.descriptor]
    const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests }))
    await this.putManifest(referrersTag(subject), { descriptor: describeBytes(MEDIA_TYPES.index, bytes), bytes }, options)
  }

  /** Where to upload to; undefined when the registry has the blob already. */
  async #beginUpload(query: string, options: CallOptions): Promise<URL | undefined> {
    const response = await this.#request('POST', `blobs/uploads/${query}`, { 'content-length': '0' }, options)
    if (response.status !== 201 && response.status !== 202) throw await pushError(`to "${this.name}"`, response)
    await response.body.discard()
    return response.status === 201 ? undefined : locationOf(response, this.#base, this.name)
  }

  /** @param range.exact what is not exactly that range is refused; else it is cut to it */
  async #openAt(
    target: Descriptor,
    { start, end, exact = false }: { readonly start: number; readonly end: number; readonly exact?: boolean },
    call: Parameters<typeof callOf>[0],
  ): Promise<ByteStream> {
    const isPart = end < target.size
    const range: Readonly<Record<string, string>> = start === 0 && !isPart ? {} : { range: `bytes=${start}-${isPart ? end - 1 : ''}` }
    const response = await this.#request('GET', this.#pathOf(target), { accept: target.mediaType, ...range }, callOf(call))
    const { status, headers, body } = response
    const encoding = headers['content-encoding'] ?? 'identity'
    if (encoding !== 'identity' && encoding !== '') {
      await body.discard()
      throw new StrataError(
        'unavailable',
        'STRATA_REGISTRY_ANSWER',
        `Cannot get ${target.digest} from "${this.name}": it comes with content encoding "${encoding}"`,
      )
    }
    if (status === 200 && !exact) return start === 0 && !isPart ? body : sliceOf(body, { start, end })
    // RFC 9110 section 14.4
    const given = /^bytes (\d+)-(\d+)\//.exec(headers['content-range'] ?? '')
    const isAsked = status === 206 && Number(given?.[1]) === start && (!exact || Number(given?.[2]) === end - 1)
    if (isAsked) return isPart && !exact ? sliceOf(body, { end: end - start }) : body
    if (status === 200 || status === 206) await body.discard()
    // What cannot be had from there on can be had from the beginning.
    if (!exact && start > 0 && (status === 206 || status === 416)) {
      await body.discard()
      return sliceOf(await this.#openAt(target, { start: 0, end }, call), { start, end })
    }
    const error = await answerError(`get ${target.digest} from "${this.name}"`, response)
    throw error.kind === 'notFound' && isForeignLayer(target.mediaType) ? notHandedOn(target, this.name, error) : error
  }

  /** The rest of a list is on the same host; anything else is not followed. */
  #nextPage(response: HttpResponse, page: URL): URL | undefined {
    const next = /<([^>]+)>\s*;\s*rel="?next"?/.exec(response.headers['link'] ?? '')?.[1]
    const following = next === undefined || !URL.canParse(next, page.href) ? undefined : new URL(next, page)
    return following?.origin === this.#base.origin ? following : undefined
  }

  #request(
    method: 'GET' | 'HEAD' | 'POST' | 'PUT',
    path: string,
    headers: Readonly<Record<string, string>>,
    { body, ...call }: CallOptions & { readonly body?: Uint8Array },
  ): Promise<HttpResponse> {
    return this.#send({
      method,
      url: this.#url(path),
      headers,
      ...(body === undefined ? {} : { body }),
      ...callOf(call),
    })
  }

  #url(path: string): URL {
    return new URL(`${this.#path}/${path}`, this.#base)
  }

  #pathOf(target: Descriptor): string {
    return pathTo(isManifest(target.mediaType) || isIndex(target.mediaType) ? 'manifests' : 'blobs', target.digest)
  }

  #nameOf(tagOrDigest: string): string {
    return `${this.name}${tagOrDigest.includes(':') ? '@' : ':'}${tagOrDigest}`
  }
}

/**
 * What is no tag and no digest would lead to any other path of the host, with the credentials for it: a URL takes `\` for `/`
 * and resolves `..`, `%2e` included.
 *
 * @throws StrataError STRATA_REFERENCE_INVALID
 */
function pathTo(kind: 'manifests' | 'blobs' | 'referrers', tagOrDigest: string): string {
  const isName = [isTag, isDigest].some(fits => fits(tagOrDigest))
  if (isName) return `${kind}/${tagOrDigest}`
  const what = JSON.stringify(tagOrDigest.slice(0, 100))
  throw new StrataError('invalidArgument', 'STRATA_REFERENCE_INVALID', `Cannot ask a registry for ${what}: it is no tag and no digest`)
}

/** The tag of the list of what refers to a digest. distribution-spec "Referrers Tag Schema" */
const referrersTag = (digest: Digest): string => `${digestAlgorithm(digest)}-${digestHex(digest).slice(0, 64)}`

/** Undefined for what is no list of tags. An empty list is null where Go programs write it. */
function readTagList(bytes: Buffer): readonly string[] | undefined {
  try {
    const { tags } = JSON.parse(bytes.toString()) as { readonly tags?: unknown }
    if (tags === null || tags === undefined) return []
    return Array.isArray(tags) && tags.every(isTag) ? tags : undefined
  } catch {
    return undefined
  }
}

function notHandedOn(layer: Descriptor, repository: string, cause: StrataError): StrataError {
  return new StrataError(
    'notFound',
    'STRATA_FOREIGN_LAYER',
    `Cannot get layer ${layer.digest} from "${repository}": it may not be handed on, and the registry does not have it`,
    { hint: publisherHint(layer), cause },
  )
}
