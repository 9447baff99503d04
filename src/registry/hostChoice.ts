import { type ByteStream, isStrataError, type Logger, readAtMost, StrataError, streamOf } from '../base/index.ts'
import { digestAlgorithm, digestOf, isDigest, LIMITS, type Reference } from '../oci/index.ts'
import type { Capability, RegistryHost } from './hosts/index.ts'
import type { HttpRequest, HttpResponse, Send } from './send.ts'

/** A host that can be asked: `open` finds out which of its addresses answers. */
export interface OpenableHost {
  readonly host: RegistryHost
  readonly open: () => Promise<OpenedHost>
}

export interface OpenedHost {
  /** Where its API is, ending in `/`. */
  readonly base: URL
  readonly send: Send
}

export interface HostChoiceOptions {
  /** Hears of mirrors that are passed over. */
  readonly logger: Logger
  /** Names of mirrors that are not asked; gets those that lie. */
  readonly distrusted: Set<string>
}

/**
 * Lets a repository be one although several hosts have it: requests name the registry, and are sent to the first host
 * that may and can answer them. A mirror that fails, or gives something else than it was asked for, is passed over; what
 * has failed once is asked again only after the registry itself. What only the registry knows, such as the list of tags,
 * is asked of no mirror.
 */
export class HostChoice {
  /** The base of the URLs of requests; nothing is sent there. */
  readonly base: URL
  readonly #repository: string
  readonly #hosts: readonly OpenableHost[]
  readonly #logger: Logger
  readonly #distrusted: Set<string>
  readonly #suspicions = new Map<OpenableHost, Error>()
  readonly #failed = new Set<OpenableHost>()
  readonly #liars = new Set<OpenableHost>()
  /** Mirrors that have given blobs, or said what a tag stands for, since `work` began. */
  readonly #givers = new Set<OpenableHost>()
  /** Who answered last for a URL. */
  readonly #answered = new Map<string, OpenableHost>()

  /** @param hosts in the order that they are asked in; at least one is no mirror */
  constructor({ domain, path }: Reference, hosts: readonly OpenableHost[], { logger, distrusted }: HostChoiceOptions) {
    this.base = new URL(`https://${domain}/v2/`)
    this.#repository = path
    this.#hosts = hosts
    this.#logger = logger
    this.#distrusted = distrusted
    for (const host of hosts) if (host.host.isMirror && distrusted.has(host.host.name)) this.#liars.add(host)
  }

  readonly send: Send = async request => {
    const notes = [...this.#liars].map(({ host }) => `${host.name} (what it gave was wrong)`)
    let failure: unknown
    for (const host of this.#inTurn(request)) {
      try {
        const response = await this.#ask(host, request)
        const answer = host.host.isMirror ? await this.#usable(host, request, response) : response
        if (answer !== undefined) return answer
        notes.push(`${host.host.name} (answers ${response.status})`)
      } catch (error) {
        if (!isStrataError(error) || error.kind === 'cancelled') throw error
        if (host.host.isMirror) notes.push(`${host.host.name} (${error.message.replace(/^Cannot .*?: /, '')})`)
        else failure = error
        this.#fail(host, error)
      }
    }
    throw withMirrors(failure ?? this.#nobody(), notes)
  }

  /** The answer to this request was cut short, although it looked whole: another host is asked for the rest. */
  passOver(url: URL): void {
    const host = this.#answered.get(url.pathname)
    if (host !== undefined) this.#fail(host, 'what it gives is too short')
  }

  /**
   * Does `work`, and does it again when what it was given turned out to be not what was promised and some of it came from
   * mirrors: those are asked for nothing more.
   *
   * @param isLie further errors that say so
   */
  async withoutLiars<Result>(work: () => Promise<Result>, isLie: (error: unknown) => boolean = () => false): Promise<Result> {
    for (;;) {
      this.#givers.clear()
      try {
        const result = await work()
        this.#tellSuspicions()
        return result
      } catch (error) {
        if (!(isAboutBytes(error) || isLie(error)) || this.#givers.size === 0) throw error
        for (const host of this.#givers) this.#exclude(host, error)
      }
    }
  }

  /** What was given out turned out to be wrong: for who cannot do his work again. A size may be what the image is wrong about. */
  distrustGivers(error: unknown): void {
    if (!isStrataError(error) || error.code !== 'STRATA_DIGEST_MISMATCH') return
    for (const host of this.#givers) {
      this.#liars.add(host)
      this.#tellLie(host, error)
    }
  }

  /** Where a configuration leaves nobody to ask, or only mirrors, and none of them has it. */
  #nobody(): StrataError {
    return new StrataError(
      'unavailable',
      'STRATA_NO_HOST',
      `Cannot read from "${this.base.host}/${this.#repository}": no host that is configured for it gives this`,
    )
  }

  #inTurn(request: HttpRequest): readonly OpenableHost[] {
    const wanted = this.#capabilityFor(request)
    const able = this.#hosts.filter(
      host => !this.#liars.has(host) && (wanted === undefined ? !host.host.isMirror : host.host.capabilities.has(wanted)),
    )
    const fresh = able.filter(host => !this.#failed.has(host) || !host.host.isMirror)
    return [...fresh, ...able.filter(host => !fresh.includes(host))]
  }

  /** What a host needs for a request; undefined for what only the registry itself is asked. */
  #capabilityFor({ method, url }: HttpRequest): Capability | undefined {
    if (method !== 'GET' && method !== 'HEAD') return undefined
    const [kind, name = ''] = this.#pathOf(url)?.split('/') ?? []
    if (kind === 'blobs' && isDigest(name)) return 'pull'
    if (kind === 'manifests') return isDigest(name) ? 'pull' : 'resolve'
    return undefined
  }

  /** The path below the repository; undefined for URLs elsewhere, such as those of uploads. */
  #pathOf(url: URL): string | undefined {
    const prefix = `${this.base.pathname}${this.#repository}/`
    return url.origin === this.base.origin && url.pathname.startsWith(prefix) ? url.pathname.slice(prefix.length) : undefined
  }

  async #ask(host: OpenableHost, request: HttpRequest): Promise<HttpResponse> {
    const { base, send } = await host.open()
    const { path, namespace } = host.host
    const below = this.#pathOf(request.url)
    let url = request.url
    if (below !== undefined) {
      url = new URL(`${base.href}${path}/${below}${request.url.search}`)
      if (namespace !== undefined) url.searchParams.set('ns', namespace)
    }
    const response = await send({ ...request, url })
    return { ...response, headers: this.#translated(response.headers, url, `${base.href}${path}/`) }
  }

  /** Addresses in an answer as the repository knows them. */
  #translated(headers: HttpResponse['headers'], asked: URL, prefix: string): HttpResponse['headers'] {
    const translate = (text: string): string => {
      if (!URL.canParse(text, asked.href)) return text
      const { href } = new URL(text, asked)
      return href.startsWith(prefix) ? `${this.base.href}${this.#repository}/${href.slice(prefix.length)}` : href
    }
    const { location, link } = headers
    return {
      ...headers,
      ...(location === undefined ? {} : { location: translate(location) }),
      ...(link === undefined ? {} : { link: link.replace(/<([^>]*)>/, (_, address: string) => `<${translate(address)}>`) }),
    }
  }

  /** The answer of a mirror where it is one to the request; else undefined, and its body is left. */
  async #usable(host: OpenableHost, request: HttpRequest, response: HttpResponse): Promise<HttpResponse | undefined> {
    if (!isAnswerTo(request, response)) {
      await response.body.discard()
      // To lack one thing is no failure.
      if (response.status !== 404) this.#fail(host, `it answers ${response.status}`)
      return undefined
    }
    const path = this.#pathOf(request.url)!
    if (request.method === 'GET' && path.startsWith('manifests/')) {
      const bytes = await readAtMost(response.body, Math.max(LIMITS.manifestBytes, LIMITS.indexBytes), 'a manifest')
      const tagOrDigest = path.slice('manifests/'.length)
      if (!isWhatWasAsked(bytes, tagOrDigest, response)) {
        this.#exclude(host, 'a manifest is not what its digest says')
        return undefined
      }
      // What a digest stands for cannot be a lie.
      if (!isDigest(tagOrDigest)) this.#givers.add(host)
      return { ...response, body: bodyOf(streamOf(bytes)) }
    }
    this.#answered.set(request.url.pathname, host)
    this.#givers.add(host)
    const { body } = response
    return { ...response, body: Object.assign(this.#watched(host, body), { discard: () => body.discard() }) }
  }

  async *#watched(host: OpenableHost, body: ByteStream): AsyncGenerator<Uint8Array> {
    try {
      yield* body
    } catch (error) {
      this.#fail(host, error)
      throw error
    }
  }

  #fail(host: OpenableHost, reason: unknown): void {
    if (host.host.isMirror && !this.#failed.has(host)) this.#logger.info('a mirror is passed over', { mirror: host.host.name, reason })
    this.#failed.add(host)
  }

  /** @param reason an error may still be the image's own fault */
  #exclude(host: OpenableHost, reason: unknown): void {
    this.#liars.add(host)
    if (reason instanceof Error) this.#suspicions.set(host, reason)
    else this.#tellLie(host, reason)
  }

  /** The image is right without them. */
  #tellSuspicions(): void {
    for (const [host, reason] of this.#suspicions) this.#tellLie(host, reason)
    this.#suspicions.clear()
  }

  #tellLie({ host }: OpenableHost, reason: unknown): void {
    this.#distrusted.add(host.name)
    this.#logger.warn('a mirror has given something else than it was asked for', { mirror: host.name, reason })
  }
}

/** Whether an answer has what a request for bytes wants, from where it wants it. */
function isAnswerTo({ headers }: HttpRequest, response: HttpResponse): boolean {
  const { 'content-encoding': encoding = 'identity', 'content-range': range = '' } = response.headers
  if (encoding !== 'identity' && encoding !== '') return false
  if (response.status !== 206) return response.status === 200
  const start = /^bytes=(\d+)-/.exec(headers['range'] ?? '')?.[1]
  return start !== undefined && range.startsWith(`bytes ${start}-`)
}

function isWhatWasAsked(bytes: Buffer, tagOrDigest: string, { headers }: HttpResponse): boolean {
  const promised = tagOrDigest.includes(':') ? tagOrDigest : (headers['docker-content-digest'] ?? digestOf(bytes))
  return isDigest(promised) && digestOf(bytes, digestAlgorithm(promised)) === promised
}

const bodyOf = (bytes: AsyncGenerator<Uint8Array>): HttpResponse['body'] => Object.assign(bytes, { discard: async () => undefined })

/** Whether what arrived is not what it should be; not so when it did not arrive. */
function isAboutBytes(error: unknown): boolean {
  return (['dataLoss', 'invalidArgument', 'unsupported'] as const).some(kind => isStrataError(error, kind))
}

/** The registry's own failure counts; what its mirrors said helps to understand it. */
function withMirrors(failure: unknown, notes: readonly string[]): unknown {
  if (!isStrataError(failure) || notes.length === 0) return failure
  const { kind, code, message, hint = '' } = failure
  const mirrors = `Its mirrors have not helped: ${notes.join(', ')}.`
  return new StrataError(kind, code, message, { cause: failure, hint: hint === '' ? mirrors : `${hint} ${mirrors}` })
}
