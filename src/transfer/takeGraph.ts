import { type CallOptions, streamOf } from '../base/index.ts'
import type { ImageFacts } from '../image/index.ts'
import type { Lease } from '../metadata/index.ts'
import {
  choosePlatform,
  type Descriptor,
  type Digest,
  isImageManifest,
  matchesPlatform,
  type Platform,
  subjectOfAttestation,
} from '../oci/index.ts'
import { ContentSink } from './contentSink.ts'
import { copyGraphs, type GraphRoot, withRoots } from './copyGraph.ts'
import { GraphWalk } from './graphWalk.ts'
import type { ImageSource } from './imageSource.ts'
import { pullImage, type TransferStores } from './pullImage.ts'
import { noSuchPlatform } from './noSuchPlatform.ts'
import { readRemoteImage } from './remoteImage.ts'

export interface TakeGraphOptions extends CallOptions {
  /** Holds what arrives until the caller has recorded it. */
  readonly lease: Lease
  /** The images of an index that are wanted, by platform. */
  readonly platforms: readonly Platform[] | 'all'
  /** Whether an image that stands alone must be for one of the platforms, too. */
  readonly isStrict?: boolean
}

export interface TakenImage {
  readonly facts: ImageFacts
  readonly platform: Platform
}

/**
 * The stores as the place where a graph goes: images are unpacked, as far as they are for a platform that is wanted;
 * artifacts, and what an index has about those images, are kept as blobs. An index is kept as it is, whole or not.
 *
 * Resolves with the images that are here now; the caller records them, and what `root` shall be named.
 * Rejects with `notFound` (STRATA_NO_SUCH_PLATFORM) where an index has no image for a platform.
 */
export async function takeGraph(
  source: ImageSource,
  root: GraphRoot,
  stores: TransferStores,
  options: TakeGraphOptions,
): Promise<readonly TakenImage[]> {
  return new GraphTaker(source, stores, options).take(root)
}

/** What of a graph goes where. */
interface Parts {
  readonly images: GraphRoot[]
  readonly artifacts: GraphRoot[]
  /** What is said about images, each once. */
  readonly about: Map<Digest, Descriptor>
  /** Each behind those that it names. */
  readonly indexes: GraphRoot[]
}

class GraphTaker {
  readonly #source: ImageSource
  readonly #stores: TransferStores
  readonly #options: TakeGraphOptions

  constructor(source: ImageSource, stores: TransferStores, options: TakeGraphOptions) {
    this.#source = source
    this.#stores = stores
    this.#options = options
  }

  async take(root: GraphRoot): Promise<readonly TakenImage[]> {
    const { images, artifacts, about, indexes } = await this.#parts(root)
    const taken: TakenImage[] = []
    for (const image of images) taken.push(await this.#takeImage(image, image.descriptor.digest === root.descriptor.digest))
    const asTheyAre = [...artifacts.map(({ descriptor }) => descriptor), ...about.values()]
    const blobs = new ContentSink(this.#stores.content, this.#options.lease)
    for (const copied of await copyGraphs(withRoots(this.#source, artifacts), blobs, asTheyAre, this.#options)) await this.#store(copied)
    for (const index of indexes) await this.#store(index)
    return taken
  }

  async #parts(root: GraphRoot): Promise<Parts> {
    const parts: Parts = { images: [], artifacts: [], about: new Map(), indexes: [] }
    const walk = new GraphWalk<void>(
      withRoots(this.#source, [root]),
      {
        enter: ({ manifests }) => {
          const chosen = this.#choose(manifests)
          const digests = new Set(chosen.map(({ digest }) => digest))
          for (const entry of manifests)
            if (!digests.has(entry.digest) && this.#isAbout(entry, digests)) parts.about.set(entry.digest, entry)
          return chosen
        },
        leave: ({ descriptor, bytes, document }) => {
          const kind = document.kind === 'index' ? parts.indexes : isImageManifest(document.manifest) ? parts.images : parts.artifacts
          kind.push({ descriptor, bytes })
        },
      },
      this.#options,
    )
    await walk.visit(root.descriptor)
    return parts
  }

  /** Whether an entry goes along with the images that were chosen. */
  #isAbout(entry: Descriptor, chosen: ReadonlySet<Digest>): boolean {
    const about = subjectOfAttestation(entry)
    return this.#options.platforms === 'all' || (about !== undefined && chosen.has(about))
  }

  #choose(entries: readonly Descriptor[]): readonly Descriptor[] {
    const { platforms } = this.#options
    if (platforms === 'all') return entries.filter(entry => subjectOfAttestation(entry) === undefined)
    return platforms.map(platform => {
      const entry = choosePlatform(entries, platform)
      if (entry !== undefined) return entry
      throw noSuchPlatform(entries, platform, this.#source.name)
    })
  }

  async #takeImage(root: GraphRoot, isAlone: boolean): Promise<TakenImage> {
    const image = await readRemoteImage(this.#source, root, this.#options)
    const { os, architecture, variant } = image.config
    const platform = { os, architecture, ...(variant === undefined ? {} : { variant }) }
    const { platforms, isStrict = false } = this.#options
    const missed = platforms === 'all' || !isAlone || !isStrict ? undefined : platforms.find(wanted => !matchesPlatform(platform, wanted))
    if (missed !== undefined) throw noSuchPlatform([{ ...root.descriptor, platform }], missed, this.#source.name)
    const facts = await pullImage(this.#source, image, this.#stores, this.#options)
    return { facts, platform }
  }

  async #store({ descriptor, bytes }: GraphRoot): Promise<void> {
    await this.#stores.content.put(descriptor, streamOf(bytes), { lease: this.#options.lease })
  }
}
