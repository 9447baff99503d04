import { type CallOptions, readAtMost, streamOf } from '../base/index.ts'
import type { ImageFacts } from '../image/index.ts'
import type { Lease } from '../metadata/index.ts'
import {
  choosePlatform,
  type Descriptor,
  type Digest,
  enterIndex,
  isImageManifest,
  LIMITS,
  matchesPlatform,
  parseManifestOrIndex,
  type Platform,
  subjectOfAttestation,
} from '../oci/index.ts'
import { ContentSink } from './contentSink.ts'
import { copyGraph, type GraphRoot } from './copyGraph.ts'
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
  return new GraphTaker(source, stores, options).take(root, [])
}

class GraphTaker {
  readonly #source: ImageSource
  readonly #stores: TransferStores
  readonly #options: TakeGraphOptions
  readonly #blobs: ContentSink

  constructor(source: ImageSource, stores: TransferStores, options: TakeGraphOptions) {
    this.#source = source
    this.#stores = stores
    this.#options = options
    this.#blobs = new ContentSink(stores.content, options.lease)
  }

  async take(root: GraphRoot, ancestors: readonly Digest[]): Promise<readonly TakenImage[]> {
    const document = parseManifestOrIndex(root.bytes, root.descriptor.mediaType)
    if (document.kind === 'manifest') {
      if (isImageManifest(document.manifest)) return [await this.#takeImage(root, ancestors.length === 0)]
      await this.#takeBlobs(root.descriptor)
      return []
    }
    const entered = enterIndex(ancestors, root.descriptor.digest)
    const { manifests } = document.index
    const chosen = new Set(this.#choose(manifests).map(({ digest }) => digest))
    const taken: TakenImage[] = []
    for (const entry of new Map(manifests.map(each => [each.digest, each])).values()) {
      const about = subjectOfAttestation(entry)
      if (chosen.has(entry.digest)) taken.push(...(await this.take({ descriptor: entry, bytes: await this.#read(entry) }, entered)))
      else if (this.#options.platforms === 'all' || (about !== undefined && chosen.has(about))) await this.#takeBlobs(entry)
    }
    await this.#store(root)
    return taken
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

  async #takeBlobs(target: Descriptor): Promise<void> {
    await this.#store(await copyGraph(this.#source, this.#blobs, target, this.#options))
  }

  async #store({ descriptor, bytes }: GraphRoot): Promise<void> {
    await this.#stores.content.put(descriptor, streamOf(bytes), { lease: this.#options.lease })
  }

  async #read(target: Descriptor): Promise<Buffer> {
    return readAtMost(await this.#source.open(target, this.#options), LIMITS.manifestBytes, `manifest ${target.digest}`)
  }
}
