import { isStrataError, readAtMost } from '../base/index.ts'
import { type Descriptor, type Digest, isDigest, isIndex, isManifest, LIMITS, MEDIA_TYPES, parseManifestOrIndex } from '../oci/index.ts'
import { answerJson, type Exchange } from './exchange.ts'
import type { ServedStores } from './options.ts'
import { type ReferrerOf, referrerOf } from './referrer.ts'
import { RegistryError } from './registryError.ts'
import type { Repositories } from './repositories.ts'
import type { Upstream } from './upstream.ts'

/** Manifests whose subject is remembered; one entry is small where there is none. */
const REMEMBERED = 50_000
/** More go on the next page: an index must stay one that clients read. */
const PAGE_BYTES = LIMITS.indexBytes / 2

/** `/v2/<name>/referrers/<digest>` */
export class Referrers {
  readonly #stores: ServedStores
  readonly #repositories: Repositories
  readonly #upstream: Upstream | undefined
  /** What each manifest says about another; what a digest stands for never changes. */
  readonly #known = new Map<Digest, ReferrerOf | undefined>()

  constructor(stores: ServedStores, repositories: Repositories, upstream: Upstream | undefined) {
    this.#stores = stores
    this.#repositories = repositories
    this.#upstream = upstream
  }

  /** distribution-spec "Listing Referrers" */
  async list(exchange: Exchange): Promise<void> {
    const { name, reference, query } = exchange
    if (!isDigest(reference)) throw new RegistryError('DIGEST_INVALID', 'a subject is named by its digest')
    const type = query.get('artifactType') ?? undefined
    const found = await this.#referrersOf(exchange, reference)
    const wanted = found.filter(({ artifactType }) => type === undefined || artifactType === type)
    const { items, next } = pageFrom(wanted, query.get('last') ?? '')
    answerJson(
      exchange,
      { schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests: items },
      {
        'content-type': MEDIA_TYPES.index,
        ...(type === undefined ? {} : { 'oci-filters-applied': 'artifactType' }),
        ...(next === undefined ? {} : { link: `<${nextUrl(name, reference, { next, type })}>; rel="next"` }),
      },
    )
  }

  /** Every manifest of the repository that names the subject, however it came here. In the order of their digests. */
  async #referrersOf(exchange: Exchange, subject: Digest): Promise<readonly Descriptor[]> {
    const found = new Map<Digest, Descriptor>()
    for (const descriptor of (await this.#upstream?.referrers(exchange, subject)) ?? []) found.set(descriptor.digest, descriptor)
    for (const digest of this.#repositories.reach(exchange.name)) {
      const referrer = await this.read(digest)
      if (referrer?.subject === subject) found.set(digest, referrer.descriptor)
    }
    return [...found.values()].sort((a, b) => (a.digest < b.digest ? -1 : 1))
  }

  /** What a manifest says about another one; undefined for what says nothing, or is no manifest, or cannot be read. */
  async read(digest: Digest): Promise<ReferrerOf | undefined> {
    if (this.#known.has(digest)) return this.#known.get(digest)
    const blob = await this.#stores.content.stat(digest)
    if (blob === undefined || !(isManifest(blob.mediaType) || isIndex(blob.mediaType))) return undefined
    try {
      const { mediaType, size } = blob
      const bytes = await readAtMost(await this.#stores.content.open(blob), LIMITS.indexBytes)
      const referrer = referrerOf({ mediaType, digest, size }, parseManifestOrIndex(bytes, mediaType))
      if (this.#known.size >= REMEMBERED) this.#known.clear()
      this.#known.set(digest, referrer)
      return referrer
    } catch (error) {
      // One that is damaged, or has just gone, hides none of the others.
      if (isStrataError(error)) return undefined
      throw error
    }
  }
}

function pageFrom(all: readonly Descriptor[], last: string): { readonly items: readonly Descriptor[]; readonly next: Digest | undefined } {
  const items: Descriptor[] = []
  let bytes = 0
  for (const descriptor of all.filter(({ digest }) => digest > last)) {
    bytes += JSON.stringify(descriptor).length
    if (bytes > PAGE_BYTES && items.length > 0) return { items, next: items.at(-1)!.digest }
    items.push(descriptor)
  }
  return { items, next: undefined }
}

function nextUrl(name: string, subject: Digest, { next, type }: { readonly next: Digest; readonly type: string | undefined }): string {
  const query = new URLSearchParams({ last: next, ...(type === undefined ? {} : { artifactType: type }) })
  return `/v2/${name}/referrers/${subject}?${query.toString()}`
}
