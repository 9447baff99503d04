import { type Digest, isIndex, type Reference } from '../oci/index.ts'
import type { ServeContext, ServedStores } from './options.ts'
import { type HiddenName, type ServedNames, servedNames, type ServedRepository, type ServedTag } from './servedNames.ts'
import { RegistryError } from './registryError.ts'
import { WaitingBlobs } from './waitingBlobs.ts'

const EMPTY: ServedRepository = { tags: new Map(), digests: new Map() }

/**
 * The repositories that clients see. A repository is a border: it gives out what its tags and digests reach, what is said
 * about that (referrers), and what was pushed to it just now; nothing else of the store.
 */
export class Repositories {
  /** Blobs that were pushed and that no manifest names yet. */
  readonly waiting: WaitingBlobs
  /** The registries of names that mean this one, the one that it calls itself by first. */
  readonly #own: readonly [string, ...string[]]
  readonly #stores: ServedStores
  readonly #onlyOf: string | undefined
  readonly #onHidden: (hidden: readonly HiddenName[]) => void
  #names: ServedNames | undefined
  #version = ''
  readonly #reaches = new Map<string, ReadonlySet<Digest>>()

  constructor({ stores, options }: ServeContext, own: readonly [string, ...string[]]) {
    this.#stores = stores
    this.#own = own
    this.#onlyOf = options.upstream
    this.#onHidden = options.onHidden ?? (() => undefined)
    this.waiting = new WaitingBlobs(stores.leases)
  }

  /** What is served now. Other processes change names, too. */
  get names(): ServedNames {
    const version = this.#currentVersion()
    if (this.#names !== undefined && version === this.#version) return this.#names
    const before = this.#names
    const { images } = this.#stores
    const all = [...images.roots(), ...images.rootsByDigest()]
    // A cache gives out what its upstream does, and nothing that was made here.
    const served =
      this.#onlyOf === undefined
        ? all
        : all.filter(({ name }) => [...this.#own, this.#onlyOf].some(domain => name.startsWith(`${domain}/`)))
    this.#names = servedNames(served, this.#own)
    this.#version = version
    this.#reaches.clear()
    if (before !== undefined && JSON.stringify(before.hidden) !== JSON.stringify(this.#names.hidden)) this.#onHidden(this.#names.hidden)
    return this.#names
  }

  /** The name under which something of a repository is recorded: that of this very registry. */
  ownName(path: string, of: { readonly tag: string } | { readonly digest: Digest }): Reference {
    return { domain: this.#own[0], path, ...of }
  }

  /** Whether a name is this registry's own, and so its clients' to change. */
  isOwn({ domain }: Reference): boolean {
    return this.#own.includes(domain)
  }

  /** Changes names in one transaction; what is asked in it is answered as it would be afterwards. */
  change(work: () => void): void {
    try {
      this.#stores.changeImages(work)
    } finally {
      // A transaction that is taken back leaves the counters of changes as they are.
      this.#version = ''
    }
  }

  find(name: string): ServedRepository | undefined {
    return this.names.repositories.get(name) ?? (this.waiting.knows(name) ? EMPTY : undefined)
  }

  /** @throws RegistryError NAME_UNKNOWN */
  require(name: string): ServedRepository {
    const repository = this.find(name)
    if (repository === undefined) throw new RegistryError('NAME_UNKNOWN', 'there is no such repository')
    return repository
  }

  /** What a tag stands for: one of a name, or one below which something is said about what is here (signatures of cosign). */
  tag(name: string, tag: string): ServedTag | undefined {
    const named = this.find(name)?.tags.get(tag)
    // Those have the digest that they are about in them.
    if (named !== undefined || !tag.startsWith('sha256-')) return named
    for (const digest of this.reach(name)) {
      const referrer = this.#stores.images.referrersOf(digest).find(each => each.tag === tag)
      if (referrer !== undefined) return { name: this.ownName(name, { tag }), root: referrer.descriptor }
    }
    return undefined
  }

  /** Whether a repository gives a blob or manifest out; its bytes need not be here. */
  reaches(name: string, digest: Digest): boolean {
    return this.waiting.has(name, digest) || this.reach(name).has(digest)
  }

  /** All that the names of a repository reach. */
  reach(name: string): ReadonlySet<Digest> {
    const { repositories, pushed } = this.names
    const { content, images } = this.#stores
    const known = this.#reaches.get(name)
    if (known !== undefined) return known
    const { tags, digests } = repositories.get(name) ?? EMPTY
    const documents = new Set([...digests.keys(), ...[...tags.values()].map(({ root }) => root.digest)])
    const blobs = new Set<Digest>()
    // A set gives out also what is added while it is walked.
    for (const digest of documents) {
      // Of what a manifest names nobody has looked at what it may itself name: others' content.
      const children = isIndex(content.mediaTypeOf(digest) ?? '') ? documents : blobs
      for (const child of content.children(digest)) children.add(child)
      for (const { descriptor } of images.referrersOf(digest))
        // One that was pushed to another repository says nothing here.
        if (!pushed.has(descriptor.digest)) documents.add(descriptor.digest)
    }
    const reached = new Set([...documents, ...blobs])
    this.#reaches.set(name, reached)
    return reached
  }

  /** Changes with every write to the store's records, by this process or another. sqlite.org/pragma.html#pragma_data_version */
  #currentVersion(): string {
    const { metadata } = this.#stores
    const others = metadata.get<{ data_version: number }>('PRAGMA data_version')?.data_version
    const ours = metadata.get<{ changes: number }>('SELECT total_changes() AS changes')?.changes
    return `${others} ${ours}`
  }
}
