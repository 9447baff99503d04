import type { Referrer } from '../image/index.ts'
import { type Digest, isIndex, type Reference } from '../oci/index.ts'
import type { ServeContext, ServedStores } from './options.ts'
import { type HiddenName, type ServedNames, servedNames, type ServedRepository, type ServedTag } from './servedNames.ts'
import { RegistryError } from './registryError.ts'
import { WaitingBlobs } from './waitingBlobs.ts'

const EMPTY: ServedRepository = { tags: new Map(), digests: new Map(), elsewhere: new Set() }

/** All that a repository gives out. */
interface Reach {
  readonly digests: ReadonlySet<Digest>
  /** Also those below which something is said about what is here: signatures of cosign. */
  readonly tags: ReadonlyMap<string, ServedTag>
}

const rootsOf = (tags: ReadonlyMap<string, ServedTag>): readonly Digest[] => [...tags.values()].map(({ root }) => root.digest)

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
  readonly #reaches = new Map<string, Reach>()

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
    const roots = [...images.roots(), ...images.rootsByDigest()].filter(({ name }) => this.#isServed(name))
    const elsewhere = images.indexesElsewhere().filter(name => this.#isServed(name))
    this.#names = servedNames(roots, this.#own, elsewhere)
    this.#version = version
    this.#reaches.clear()
    if (before !== undefined && JSON.stringify(before.hidden) !== JSON.stringify(this.#names.hidden)) this.#onHidden(this.#names.hidden)
    return this.#names
  }

  /** A cache gives out what its upstream does, and nothing that was made here. */
  #isServed(name: string): boolean {
    return this.#onlyOf === undefined || [...this.#own, this.#onlyOf].some(domain => name.startsWith(`${domain}/`))
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

  /** What a repository's tags stand for: those of names, and those below which something is said about what is here. */
  tags(name: string): ReadonlyMap<string, ServedTag> {
    return this.#reachOf(name).tags
  }

  /** Whether a repository gives a blob or manifest out; its bytes need not be here. */
  reaches(name: string, digest: Digest): boolean {
    return this.waiting.has(name, digest) || this.reach(name).has(digest)
  }

  /** All that the names of a repository reach. */
  reach(name: string): ReadonlySet<Digest> {
    return this.#reachOf(name).digests
  }

  #reachOf(name: string): Reach {
    const { repositories } = this.names
    const known = this.#reaches.get(name)
    if (known !== undefined) return known
    const { tags, digests, elsewhere } = repositories.get(name) ?? EMPTY
    const all = new Map(tags)
    const reached = this.#reachedFrom([...digests.keys(), ...rootsOf(tags)], { elsewhere })
    for (const digest of [...elsewhere, ...reached])
      for (const { descriptor, tag } of this.#saidAbout(digest))
        if (tag !== undefined && !all.has(tag)) all.set(tag, { name: this.ownName(name, { tag }), root: descriptor })
    const reach = { digests: reached, tags: all }
    this.#reaches.set(name, reach)
    return reach
  }

  /** Digests with what they name, what is said about them, and so on; of what is elsewhere only what is said. */
  #reachedFrom(digests: Iterable<Digest>, { elsewhere = [] }: { readonly elsewhere?: Iterable<Digest> } = {}): ReadonlySet<Digest> {
    const documents = new Set(digests)
    const blobs = new Set<Digest>()
    const addSaid = (subject: Digest): void => {
      for (const { descriptor } of this.#saidAbout(subject)) documents.add(descriptor.digest)
    }
    for (const digest of elsewhere) addSaid(digest)
    // A set gives out also what is added while it is walked.
    for (const digest of documents) {
      // Of what a manifest names nobody has looked at what it may itself name: others' content.
      const children = isIndex(this.#stores.content.mediaTypeOf(digest) ?? '') ? documents : blobs
      for (const child of this.#stores.content.children(digest)) children.add(child)
      addSaid(digest)
    }
    return new Set([...documents, ...blobs])
  }

  /** One that was pushed to another repository says nothing here; what has a tag came along with an image, whoever else pushed it. */
  #saidAbout(subject: Digest): readonly Referrer[] {
    const { pushed } = this.names
    return this.#stores.images.referrersOf(subject).filter(({ descriptor, tag }) => tag !== undefined || !pushed.has(descriptor.digest))
  }

  /** The names of what no tag of a repository leads to, and what has a manifest in it: an index whose last tag has gone. */
  untaggedHolders(name: string, digest: Digest): readonly Reference[] {
    const { tags, digests } = this.find(name) ?? EMPTY
    const tagged = this.#reachedFrom(rootsOf(tags))
    return [...digests].flatMap(([holder, names]) => (!tagged.has(holder) && this.#reachedFrom([holder]).has(digest) ? names : []))
  }

  /** Changes with every write to the store's records, by this process or another. sqlite.org/pragma.html#pragma_data_version */
  #currentVersion(): string {
    const { metadata } = this.#stores
    const others = metadata.get<{ data_version: number }>('PRAGMA data_version')?.data_version
    const ours = metadata.get<{ changes: number }>('SELECT total_changes() AS changes')?.changes
    return `${others} ${ours}`
  }
}
