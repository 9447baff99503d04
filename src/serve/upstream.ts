import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { type ByteStream, isStrataError, readAtMost, SingleFlight, streamOf } from '../base/index.ts'
import { type Descriptor, type Digest, isDigest, isIndex, isManifest, LIMITS, parseManifestOrIndex, parseReference } from '../oci/index.ts'
import { connectRepository, type Repository } from '../registry/index.ts'
import type { ByteRange } from './byteRange.ts'
import { Download } from './download.ts'
import type { Exchange } from './exchange.ts'
import type { ServeContext } from './options.ts'
import { RegistryError, type RegistryErrorCode } from './registryError.ts'
import type { Repositories } from './repositories.ts'

/** A tag is asked for again after this long. */
const FRESH_MS = 30_000
const REMEMBERED_TAGS = 10_000

/**
 * The registry that this one is a cache of. Tags are asked for there, and what they last stood for is given out while it
 * cannot be reached; manifests and blobs, which never change, are fetched once. Fetches of one thing at the same time
 * are one fetch.
 */
export class Upstream implements AsyncDisposable {
  readonly #registry: string
  readonly #context: ServeContext
  readonly #repositories: Repositories
  readonly #askedAt = new Map<string, number>()
  readonly #manifests = new SingleFlight<void>()
  readonly #downloads = new Map<Digest, Download>()
  /** Mirrors of it that have lied. */
  readonly #distrusted = new Set<string>()
  readonly #closed = new AbortController()
  /** Nobody else's name. */
  readonly #id = `strata-${randomUUID()}`

  constructor(registry: string, context: ServeContext, repositories: Repositories) {
    this.#registry = registry
    this.#context = context
    this.#repositories = repositories
  }

  /** Ends the downloads; the next server goes on with them. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort()
    await Promise.all([...this.#downloads.values()].map(({ ended }) => ended))
  }

  /**
   * Brings what a tag stands for up to date, and a manifest that is not here yet.
   *
   * Rejects with a RegistryError when upstream does not have it or does not give it, and with `unavailable` when it cannot
   * be reached and nothing is here.
   */
  async refresh({ name, reference, request }: Exchange): Promise<void> {
    if (!(await this.#isDue(name, reference))) return
    const via = this.#viaOf(request)
    if (via === undefined) return
    // Two caches of each other must not wait for each other's fetch.
    await this.#manifests.run(`${name} ${reference} ${via}`, () => this.#fetchManifest(name, reference, via))
  }

  /** What a repository's manifest says of a blob that is not here; undefined where none names it. */
  async descriptorOf(name: string, digest: Digest): Promise<Descriptor | undefined> {
    const { content } = this.#context.stores
    for (const parent of this.#repositories.reach(name)) {
      if (!content.children(parent).includes(digest)) continue
      const blob = await content.stat(parent)
      if (blob === undefined || !(isManifest(blob.mediaType) || isIndex(blob.mediaType))) continue
      const document = parseManifestOrIndex(await readAtMost(await content.open(blob), LIMITS.manifestBytes), blob.mediaType)
      const children = document.kind === 'index' ? document.index.manifests : [document.manifest.config, ...document.manifest.layers]
      const found = children.find(child => child.digest === digest)
      if (found !== undefined) return found
    }
    return undefined
  }

  /** A blob that is not here, while it is fetched; undefined where no manifest names it. */
  async open({ name, request }: Exchange, digest: Digest, range: ByteRange): Promise<ByteStream | undefined> {
    const target = await this.descriptorOf(name, digest)
    const via = this.#viaOf(request)
    if (target === undefined || via === undefined) return undefined
    // Nothing can come in between here: whoever asks for it now joins.
    const download = this.#downloads.get(digest) ?? this.#download(name, target, via)
    return download.read(range)
  }

  /** All tags of a repository there; undefined when it cannot be reached. */
  async tags(exchange: Exchange): Promise<readonly string[] | undefined> {
    return this.#ask(exchange, repository => Array.fromAsync(repository.tags({ signal: this.#closed.signal })))
  }

  /** What is said there about a manifest; undefined when it cannot be reached. */
  async referrers(exchange: Exchange, subject: Digest): Promise<readonly Descriptor[] | undefined> {
    return this.#ask(exchange, repository => repository.referrers(subject, { signal: this.#closed.signal }))
  }

  /** Asks for what changes there; undefined when nothing answers. */
  async #ask<Result>({ name, request }: Exchange, question: (repository: Repository) => Promise<Result>): Promise<Result | undefined> {
    const via = this.#viaOf(request)
    if (via === undefined) return undefined
    try {
      await using repository = await this.#connect(name, via)
      return await question(repository)
    } catch (error) {
      if (saysLater(error)) return undefined
      throw refusal(error, 'NAME_UNKNOWN')
    }
  }

  async #isDue(name: string, tagOrDigest: string): Promise<boolean> {
    if (isDigest(tagOrDigest))
      return !this.#repositories.reaches(name, tagOrDigest) || (await this.#context.stores.content.stat(tagOrDigest)) === undefined
    const askedAt = this.#askedAt.get(`${name}:${tagOrDigest}`)
    return askedAt === undefined || Date.now() - askedAt >= FRESH_MS || !this.#repositories.tags(name).has(tagOrDigest)
  }

  async #fetchManifest(name: string, tagOrDigest: string, via: string): Promise<void> {
    try {
      await using repository = await this.#connect(name, via)
      const { descriptor, bytes } = await repository.manifest(tagOrDigest, { signal: this.#closed.signal })
      const { stores } = this.#context
      await using lease = stores.leases.create()
      await stores.content.put(descriptor, streamOf(bytes), { lease })
      const of = isDigest(tagOrDigest) ? { digest: descriptor.digest } : { tag: tagOrDigest }
      const reference = this.#repositories.ownName(name, of)
      const root = { root: descriptor, repositoryDigest: descriptor.digest, images: [], chosen: undefined, isCached: true }
      stores.recordRoot({ reference, ...root, referrers: [] })
      this.#note(`${name}:${tagOrDigest}`)
    } catch (error) {
      if (!saysLater(error) || !this.#repositories.tags(name).has(tagOrDigest)) throw refusal(error, 'MANIFEST_UNKNOWN')
      // What was here last is better than nothing.
      this.#context.logger.warn('The upstream registry cannot be reached: what it last had is given out', { repository: name, error })
      this.#note(`${name}:${tagOrDigest}`)
    }
  }

  #note(tag: string): void {
    if (this.#askedAt.size >= REMEMBERED_TAGS) this.#askedAt.clear()
    this.#askedAt.set(tag, Date.now())
  }

  #download(name: string, target: Descriptor, via: string): Download {
    const { content } = this.#context.stores
    const { signal } = this.#closed
    let asked: Repository | undefined
    const fetch = async (start: number): Promise<ByteStream> => {
      await using opened = new AsyncDisposableStack()
      try {
        const repository = opened.use(await this.#connect(name, via))
        // What was there before is not from them.
        asked = start === 0 ? repository : undefined
        const bytes = await repository.openUnverified(target, { start, signal })
        const held = opened.move()
        return (async function* () {
          await using _held = held
          yield* bytes
        })()
      } catch (error) {
        throw refusal(error, 'BLOB_UNKNOWN')
      }
    }
    // Clients have had of it what they cannot give back; but they ask again.
    const onFailure = (error: unknown): void => asked?.distrustGivers(error)
    const download = new Download(target, { content, fetch, onFailure, signal })
    this.#downloads.set(target.digest, download)
    void download.ended.then(() => this.#downloads.delete(target.digest))
    return download
  }

  #connect(name: string, via: string): Promise<Repository> {
    const { access, logger } = this.#context
    return connectRepository(parseReference(`${this.#registry}/${name}`), {
      ...access,
      logger,
      distrusted: this.#distrusted,
      via,
      access: 'pull',
      signal: this.#closed.signal,
    })
  }

  /**
   * Whose requests a client's request leads to: its own, if it is a cache, and ours. Undefined for one that this server has
   * sent itself, by way of others: it gets what is here. RFC 9110 section 7.6.3
   */
  #viaOf({ headers: { via = '' }, url }: IncomingMessage): string | undefined {
    if (!via.includes(this.#id)) return [...(via === '' ? [] : [via]), `1.1 ${this.#id}`].join(', ')
    this.#context.logger.warn('This cache is its own upstream, maybe by way of others', { upstream: this.#registry, url })
    return undefined
  }
}

/** Whether upstream has no answer now, which says nothing about what it has. */
function saysLater(error: unknown): boolean {
  return isStrataError(error, 'unavailable') || (isStrataError(error, 'resourceExhausted') && error.code === 'STRATA_REGISTRY_ANSWER')
}

/** What a client is told of upstream's no. */
function refusal(error: unknown, unknown: RegistryErrorCode): unknown {
  if (isStrataError(error, 'notFound')) return new RegistryError(unknown, 'the upstream registry does not have it')
  if (isStrataError(error, 'permissionDenied') || isStrataError(error, 'unauthorized'))
    return new RegistryError('DENIED', 'the upstream registry does not give it to this cache')
  if (saysLater(error) && isStrataError(error, 'resourceExhausted'))
    return new RegistryError('TOOMANYREQUESTS', 'the upstream registry allows no more requests now')
  return error
}
