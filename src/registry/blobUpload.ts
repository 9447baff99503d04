import { type CallOptions, type ErrorKind, isStrataError, pause, StrataError } from '../base/index.ts'
import type { BlobSource } from '../content/index.ts'
import type { Descriptor, Digest } from '../oci/index.ts'
import { pushError } from './registryError.ts'
import { delayMs, isUnreachable, LATER, isTooLong, retryAfterMs } from './retry.ts'
import { callOf, type HttpResponse, type Send } from './send.ts'

/** Where uploads to one repository are remembered, so that another process can go on with those of one that is gone. */
export interface UploadMemory {
  /** Where a blob was being uploaded to by somebody who does not do it any more; the caller does it now. */
  take(digest: Digest): URL | undefined
  /** This process uploads the blob to there. */
  set(digest: Digest, location: URL): void
  /** It does not any more, and somebody may go on. */
  leave(digest: Digest): void
  /** There is nothing to go on with. */
  forget(digest: Digest): void
}

export interface UploadOptions extends CallOptions {
  /** Default: an upload that this process does not finish is begun anew by the next one. */
  readonly uploads?: UploadMemory
}

/** What an upload needs of its repository. */
export interface UploadHost {
  readonly name: string
  readonly send: Send
  /** Where to upload to; undefined when the registry has the blob already. */
  begin(options: CallOptions): Promise<URL | undefined>
  has(target: Descriptor, options: CallOptions): Promise<boolean>
}

/** A blob of this size at most goes in one request, and is sent anew where that breaks. */
const WHOLE_BYTES = 1024 * 1024
/** How often an upload is taken up again, without progress in between, before it is given up. */
const RESUMES = 5

/** An upload that is under way: where, and how much has arrived there. */
interface Upload {
  readonly location: URL
  readonly offset: number
}

/**
 * Sends a blob. A small one in one request; a large one by a PATCH that streams it, and when that breaks the
 * registry is asked how much arrived, and gets the rest. One chunk is all the rest there is, so no minimum length
 * (OCI-Chunk-Min-Length) can be missed. Where the registry has forgotten the upload, or its answers make no sense, the blob is sent anew.
 * distribution-spec "Pushing a blob in chunks"
 *
 * Rejects with what the registry has against it, and `unavailable` when it breaks again and again.
 */
export async function uploadBlob(host: UploadHost, target: Descriptor, source: BlobSource, options: UploadOptions = {}): Promise<void> {
  const upload = new BlobUpload(host, target, source, options)
  try {
    await upload.run()
    options.uploads?.forget(target.digest)
  } catch (error) {
    options.uploads?.leave(target.digest)
    throw error
  }
}

class BlobUpload {
  readonly #host: UploadHost
  readonly #target: Descriptor
  readonly #source: BlobSource
  readonly #options: UploadOptions
  /** The time that the last answer wants to be left alone. */
  #waitMs: number | undefined
  /** Whether the last answer says that more has arrived than we know: what a killed process had given to its kernel still came. */
  #isBehind = false

  constructor(host: UploadHost, target: Descriptor, source: BlobSource, options: UploadOptions) {
    this.#host = host
    this.#target = target
    this.#source = source
    this.#options = options
  }

  async run(): Promise<void> {
    let upload = await this.#remembered()
    for (let failures = 0; ;) {
      const resumed: Upload | undefined = upload
      try {
        upload ??= await this.#begin()
        if (upload === undefined) return
        await this.#send(upload)
        return
      } catch (error) {
        failures += 1
        const known: Upload | undefined = upload
        // What is wrong with a part that was sent before is not wrong with the blob.
        const isAnew = resumed !== undefined && isAnswer(error, ['invalidArgument', 'notFound'])
        const isPassing = isUnreachable(error) || isAnswer(error, known === undefined ? LATER_KINDS : PASSING_KINDS)
        if (failures > RESUMES || this.#options.signal?.aborted === true || !(isAnew || isPassing) || isTooLong(this.#waitMs)) throw error
        await pause(this.#waitMs ?? delayMs(failures), this.#options.signal)
        this.#waitMs = undefined
        upload = (isAnew && !this.#isBehind) || known === undefined || this.#isSmall ? undefined : await this.#status(known.location)
        if (upload !== undefined && upload.offset > known!.offset) failures = 0
        else if (isAnew) upload = undefined
        // The last answer may be all that got lost.
        if (upload === undefined && (await this.#host.has(this.#target, this.#options))) return
      }
    }
  }

  async #remembered(): Promise<Upload | undefined> {
    if (this.#isSmall) return undefined
    const location = this.#options.uploads?.take(this.#target.digest)
    return location === undefined ? undefined : this.#status(location)
  }

  async #begin(): Promise<Upload | undefined> {
    const location = await this.#host.begin(this.#options)
    if (location === undefined) return undefined
    if (!this.#isSmall) this.#options.uploads?.set(this.#target.digest, location)
    return { location, offset: 0 }
  }

  get #isSmall(): boolean {
    return this.#target.size <= WHOLE_BYTES
  }

  /** How much has arrived; undefined where nothing has, or the registry does not know. distribution-spec "Pushing a blob in chunks" */
  async #status(location: URL): Promise<Upload | undefined> {
    const response = await this.#ask({ method: 'GET', url: location, headers: {} })
    await response.body.discard()
    if (response.status !== 204 && response.status !== 200 && response.status !== 202) return undefined
    const last = Number(/^(?:bytes[= ])?0-(\d{1,15})$/.exec(response.headers['range'] ?? '')?.[1] ?? 0)
    // "0-0" is one byte, or none.
    if (last === 0 || last >= this.#target.size) return undefined
    return { location: locationOf(response, location, this.#host.name), offset: last + 1 }
  }

  async #send(upload: Upload): Promise<void> {
    const { digest } = this.#target
    const { location, isSent } = this.#isSmall ? { location: upload.location, isSent: false } : await this.#sendRest(upload)
    const url = withDigest(location, digest)
    const headers = { 'content-type': 'application/octet-stream', 'content-length': String(isSent ? 0 : this.#target.size) }
    const body = isSent ? undefined : await this.#source.open(this.#target, this.#options)
    const response = await this.#ask({ method: 'PUT', url, headers, ...(body === undefined ? {} : { body }) })
    if (response.status !== 201) throw await this.#refused(response)
    await response.body.discard()
  }

  async #sendRest({ location, offset }: Upload): Promise<{ readonly location: URL; readonly isSent: true }> {
    const { size } = this.#target
    if (offset === size) return { location, isSent: true }
    const body = await this.#source.open(this.#target, { ...this.#options, start: offset })
    const headers = {
      'content-type': 'application/octet-stream',
      'content-length': String(size - offset),
      // Without it the body is a stream from the beginning on, which all registries take; some take no chunks.
      ...(offset === 0 ? {} : { 'content-range': `${offset}-${size - 1}` }),
    }
    const response = await this.#ask({ method: 'PATCH', url: location, headers, body })
    if (response.status !== 202 && response.status !== 204) throw await this.#refused(response)
    await response.body.discard()
    return { location: locationOf(response, location, this.#host.name), isSent: true }
  }

  #ask(request: Parameters<Send>[0]): Promise<HttpResponse> {
    return this.#host.send({ ...request, ...callOf(this.#options) })
  }

  async #refused(response: HttpResponse): Promise<StrataError> {
    this.#isBehind = response.status === 416
    this.#waitMs = LATER.has(response.status) ? retryAfterMs(response) : undefined
    return pushError(`${this.#target.digest} to "${this.#host.name}"`, response)
  }
}

/** What answers mean that say "later". */
const LATER_KINDS: readonly ErrorKind[] = ['unavailable', 'resourceExhausted']
/** And, when a blob was being sent: a token whose time was over meanwhile, an upload that was forgotten. */
const PASSING_KINDS: readonly ErrorKind[] = [...LATER_KINDS, 'unauthorized', 'notFound']

function isAnswer(error: unknown, kinds: readonly ErrorKind[]): boolean {
  return isStrataError(error) && error.code === 'STRATA_REGISTRY_ANSWER' && kinds.includes(error.kind)
}

/** Where an answer says that the upload goes on. @param repository for messages */
export function locationOf(response: HttpResponse, base: URL, repository: string): URL {
  const location = response.headers['location']
  const url = location === undefined ? null : URL.parse(location, base.href)
  if (url === null || !['http:', 'https:'].includes(url.protocol)) {
    throw new StrataError('unavailable', 'STRATA_REGISTRY_ANSWER', `Cannot push to "${repository}": it does not say where to upload to`)
  }
  return url
}

export function withDigest(location: URL, digest: Digest): URL {
  const url = new URL(location)
  url.searchParams.set('digest', digest)
  return url
}
