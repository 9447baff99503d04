import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { StrataError } from '../base/index.ts'
import { type DiskContentStore, openContent } from '../content/index.ts'
import type { ImageFacts, ImageStore, Referrer } from '../image/index.ts'
import { type LayerStore, openLayers } from '../layers/index.ts'
import { Leases, type Metadata, withReserve } from '../metadata/index.ts'
import { ANNOTATIONS, type Descriptor, formatReference, parseReference, type Reference } from '../oci/index.ts'
import { DriverSnapshotter, type DriverTrial, openDriver, selectDriver, type Snapshotter, tryDrivers } from '../snapshot/index.ts'

const SETTINGS = ['CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;']
const DRIVER_SETTING = 'storage-driver'

export interface NewRoot {
  readonly reference: Reference
  readonly root: Descriptor
  /** Whether clients pushed it into this repository, which is served here; else it was pulled from there. */
  readonly isPushed?: boolean
  /** Under which the repository gives it out: that of the index, where `root` is one image of it. */
  readonly repositoryDigest: Descriptor['digest']
  readonly images: readonly { readonly facts: ImageFacts }[]
  /** Which image is meant where one is; undefined for an artifact. */
  readonly chosen: { readonly facts: ImageFacts } | undefined
  /** Whether a cache has it, which would fetch it again. */
  readonly isCached?: boolean
  /** What is said about any of them. */
  readonly referrers: readonly { readonly subject: Descriptor['digest']; readonly referrer: Referrer }[]
}

export interface StoresOptions {
  readonly root: string
  readonly storageDriver: string | undefined
  readonly metadata: Metadata
  readonly images: ImageStore
}

/** What one root keeps, wired together: each store is opened by its first use. */
export class Stores {
  readonly root: string
  readonly metadata: Metadata
  readonly images: ImageStore
  readonly #wantedDriver: string | undefined
  #leases: Leases | undefined
  #content: DiskContentStore | undefined
  #layers: LayerStore | undefined
  #snapshots: Promise<Snapshotter | undefined> | undefined

  constructor({ root, storageDriver, metadata, images }: StoresOptions) {
    this.root = root
    this.metadata = metadata
    this.images = images
    this.#wantedDriver = storageDriver
    metadata.migrate('engine', SETTINGS)
  }

  get leases(): Leases {
    return (this.#leases ??= new Leases(this.metadata))
  }

  get content(): DiskContentStore {
    return (this.#content ??= openContent({ root: this.root, metadata: this.metadata }))
  }

  get layers(): LayerStore {
    return (this.#layers ??= openLayers({ root: this.root, metadata: this.metadata, content: this.content }))
  }

  /** A place for files of one command: a prune takes what a crash leaves there, as it does with ingests. */
  scratchDirectory(): string {
    const directory = join(this.root, 'ingest')
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    return directory
  }

  /** Undefined where nothing can be mounted: images are then kept as tars. */
  snapshots(): Promise<Snapshotter | undefined> {
    return (this.#snapshots ??= this.#openSnapshots())
  }

  /** Rejects with `unsupported` (STRATA_NO_STORAGE_DRIVER) where nothing can be mounted. @param action what needs it: `run a container` */
  async requireSnapshots(action: string): Promise<Snapshotter> {
    const snapshots = await this.snapshots()
    if (snapshots !== undefined) return snapshots
    const reasons = (await this.tryDrivers()).map(({ name, obstacle }) => `${name}: ${obstacle}`)
    throw new StrataError(
      'unsupported',
      'STRATA_NO_STORAGE_DRIVER',
      `Cannot ${action}: no storage driver works here (${reasons.join('; ')})`,
      {
        hint: 'Run it as root.',
      },
    )
  }

  /** Tries each storage driver here, the best first: for `info`, not for every command. */
  tryDrivers(): Promise<readonly DriverTrial[]> {
    return tryDrivers(this.#driversRoot())
  }

  /** Whether the storage driver was named by whoever opened the stores; else it is the store's own, or the best one. */
  get isDriverAskedFor(): boolean {
    return this.#wantedDriver !== undefined
  }

  /**
   * Records an image that was made here and gives it names, all at once, so that the lease that held its parts may end.
   * Returns, for each name, whether it stood for another image before, or for none.
   */
  recordImage(facts: ImageFacts, names: readonly Reference[]): readonly { readonly name: Reference; readonly newer: boolean }[] {
    return this.changeImages(() => {
      this.images.put(facts)
      return names.map(name => ({ name, newer: this.images.setName(name, facts.manifest.digest) !== facts.manifest.digest }))
    })
  }

  /**
   * Records what a reference stands for in its repository: an image alone, an index with those of its images that are
   * here, or an artifact.
   *
   * Returns whether all of that was known already.
   */
  recordRoot({ reference, root, repositoryDigest, images, chosen, isCached = false, referrers, isPushed = false }: NewRoot): boolean {
    const origin = { repository: `${reference.domain}/${reference.path}`, given: repositoryDigest, isPushed }
    return this.changeImages(() => {
      const before = this.images.rootOf(reference)?.digest
      const isKnown = before === root.digest && images.every(({ facts }) => this.images.get(facts.manifest.digest) !== undefined)
      for (const { facts } of images) this.images.put(facts, origin)
      for (const { subject, referrer } of referrers) this.images.addReferrer(subject, referrer, reference)
      const byDigest = { domain: reference.domain, path: reference.path, digest: repositoryDigest }
      if (chosen?.facts.manifest.digest === root.digest) {
        this.images.addRepositoryDigest(byDigest, repositoryDigest, root.digest)
        if (reference.digest === undefined) this.images.setName(reference, root.digest)
        return isKnown
      }
      const all = images.map(({ facts }) => facts.manifest.digest)
      const parts = { all, isCached, ...(chosen === undefined ? {} : { chosen: chosen.facts.manifest.digest }) }
      this.images.setRoot(byDigest, root, parts, origin)
      if (reference.digest === undefined) this.images.setRoot(reference, root, parts)
      return isKnown
    })
  }

  /** Changes which images there are; the root's index.json follows in the same transaction. */
  changeImages<Result>(work: () => Result): Result {
    return this.metadata.transaction(() => {
      const result = work()
      this.content.writeIndex(this.#layoutEntries())
      return result
    })
  }

  /** What index.json has: of an index that is kept in part only, the image that its name means. */
  #layoutEntries(): readonly (readonly Descriptor[])[] {
    const images = this.images.list()
    const roots = new Map(this.images.roots().map(({ name, root }) => [name, root]))
    const nameless = images.filter(({ names, isPartOfIndex }) => names.length === 0 && !isPartOfIndex)
    const named = images.flatMap(({ manifest, names }) =>
      names.map(name => {
        const reference = parseReference(name)
        const root = roots.get(formatReference(reference)) ?? manifest
        roots.delete(formatReference(reference))
        return [root, manifest].map(form => withName(form, reference))
      }),
    )
    const artifacts = [...roots].map(([name, root]) => [withName(root, parseReference(name))])
    return [...named, ...artifacts, ...nameless.map(({ manifest }) => [manifest])]
  }

  async #openSnapshots(): Promise<Snapshotter | undefined> {
    const recorded = this.#recordedDriver()
    const wanted = this.#wantedDriver ?? recorded
    const root = this.#driversRoot()
    // What has worked in this root before is not tried again by every command.
    if (wanted !== undefined && wanted === recorded) {
      const driver = await openDriver(root, wanted)
      return driver === undefined ? undefined : new DriverSnapshotter(driver, this.metadata)
    }
    const driver = await selectDriver(root, wanted)
    if (driver === undefined) return undefined
    // The first who asks may be a prune that is to make room: a cache needs no driver.
    withReserve(this.metadata, () =>
      this.metadata.run('INSERT OR IGNORE INTO settings (name, value) VALUES (?, ?)', DRIVER_SETTING, driver.name),
    )
    return new DriverSnapshotter(driver, this.metadata)
  }

  #recordedDriver(): string | undefined {
    return this.metadata.get<{ value: string }>('SELECT value FROM settings WHERE name = ?', DRIVER_SETTING)?.value
  }

  #driversRoot(): string {
    return join(this.root, 'snapshots')
  }
}

function withName(manifest: Descriptor, reference: Reference): Descriptor {
  return {
    ...manifest,
    annotations: { [ANNOTATIONS.containerdName]: formatReference(reference), [ANNOTATIONS.refName]: reference.tag ?? '' },
  }
}
