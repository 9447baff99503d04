import { isStrataError, type Logger } from '../base/index.ts'
import type { Lease } from '../metadata/index.ts'
import { choosePlatform, type Descriptor, isIndex, parseIndex, type Platform, type Reference } from '../oci/index.ts'
import { type GraphRoot, takeGraph, type TakenImage } from '../transfer/index.ts'
import type { ServeContext, ServedStores } from './options.ts'
import type { PushedGraph } from './pushedGraph.ts'
import type { ReferrerOf } from './referrer.ts'

interface RecordOptions {
  /** Holds what is being recorded. */
  readonly lease: Lease
  /** All of it, and nothing else. */
  readonly graph: PushedGraph
  readonly referrer: ReferrerOf | undefined
}

/** How what was pushed becomes an image of the store. */
export class ImageRecording {
  readonly #stores: ServedStores
  readonly #logger: Logger
  readonly #platform: Platform

  constructor({ stores, logger, platform }: ServeContext) {
    this.#stores = stores
    this.#logger = logger
    this.#platform = platform
  }

  /**
   * Gives names to a manifest or index whose blobs are in the store. Under a tag it is an image like one that was pulled:
   * unpacked, as far as it is for this machine, and ready to run. What the store does not take for an image is kept all
   * the same, byte for byte, as an artifact. By digest alone it is a part of something that is still to come.
   */
  async record(root: GraphRoot, names: readonly Reference[], { lease, graph, referrer }: RecordOptions): Promise<void> {
    const isTagged = names.some(({ digest }) => digest === undefined)
    const images = isTagged ? await this.#take(root, graph, lease) : []
    this.#stores.changeImages(() => {
      for (const reference of names) this.#recordOne(root.descriptor, reference, images)
      if (referrer !== undefined) this.#stores.images.addReferrer(referrer.subject, { descriptor: referrer.descriptor }, names[0]!)
    })
  }

  #recordOne(root: Descriptor, reference: Reference, images: readonly TakenImage[]): void {
    const chosen = images[0]
    this.#stores.recordRoot({ reference, root, repositoryDigest: root.digest, images, chosen, referrers: [], isPushed: true })
  }

  /** Unpacks the image for this machine's platform; none where there is none, or where it is none that can be unpacked. */
  async #take(root: GraphRoot, graph: PushedGraph, lease: Lease): Promise<readonly TakenImage[]> {
    const { descriptor, bytes } = root
    if (isIndex(descriptor.mediaType) && choosePlatform(parseIndex(bytes, descriptor.mediaType).manifests, this.#platform) === undefined)
      return []
    const { content, layers } = this.#stores
    const stores = { content, layers, snapshots: await this.#stores.snapshots() }
    try {
      return await takeGraph(graph, root, stores, { lease, platforms: [this.#platform] })
    } catch (error) {
      if (!(['invalidArgument', 'unsupported', 'dataLoss', 'notFound'] as const).some(kind => isStrataError(error, kind))) throw error
      // What has gone, or is damaged, says nothing about what was pushed.
      await graph.check()
      this.#logger.warn('A pushed manifest is kept as an artifact: it is no image that can be unpacked', {
        digest: descriptor.digest,
        error,
      })
      return []
    }
  }
}
