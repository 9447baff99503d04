import { type ByteStream, fileStream, GrowingFile } from '../base/index.ts'
import type { AppliedLayer, FileRange } from '../layer/index.ts'
import type { LayerStore, StagedLayer } from '../layers/index.ts'
import type { Lease } from '../metadata/index.ts'
import { type ChainId, chainIds, type DiffId } from '../oci/index.ts'
import type { LayerStack, Snapshotter } from '../snapshot/index.ts'

export interface UnpackStores {
  readonly layers: LayerStore
  /** Undefined where nothing can be mounted: layers are then kept as tars. */
  readonly snapshots: Snapshotter | undefined
}

interface Arrived {
  readonly chainId: ChainId
  readonly applied: AppliedLayer
  readonly staged: StagedLayer
}

/**
 * One image's layers on their way into the layer store and, where a storage driver is, into committed
 * snapshots named by their ChainIds. What is there already is used; layers that the store has in
 * another stack are taken from it. Nothing is visible before `commit`, and disposing without it leaves
 * nothing behind.
 */
export class ImageUnpack implements AsyncDisposable {
  readonly #diffIds: readonly DiffId[]
  readonly #chainIds: readonly ChainId[]
  readonly #stores: UnpackStores
  readonly #lease: Lease
  readonly #signal: { readonly signal?: AbortSignal }
  readonly #stack: LayerStack | undefined
  /** The positions (0 is the base) of layers whose bytes have to be added, because this store has them nowhere. */
  readonly missing: readonly number[]
  readonly #stored: Promise<unknown>
  readonly #arrived: Arrived[] = []

  private constructor(diffIds: readonly DiffId[], stores: UnpackStores, needed: readonly number[], { lease, signal }: UnpackOptions) {
    this.#diffIds = diffIds
    this.#chainIds = chainIds(diffIds)
    this.#stores = stores
    this.#lease = lease
    this.#signal = signal === undefined ? {} : { signal }
    this.#stack = stores.snapshots?.importStack()
    this.missing = needed.filter(position => stores.layers.get(diffIds[position]!) === undefined)
    // Layers that the store has, but not in this stack, come from their own tars.
    const stored = needed.filter(position => !this.missing.includes(position))
    this.#stored =
      this.#stack === undefined ? Promise.resolve() : Promise.all(stored.map(each => this.add(each, stores.layers.openTar(diffIds[each]!))))
    // Told by commit().
    this.#stored.catch(() => undefined)
  }

  /** @param diffIds of the image's config, base first */
  static begin(diffIds: readonly DiffId[], stores: UnpackStores, options: UnpackOptions): ImageUnpack {
    const needed: number[] = []
    const chain = chainIds(diffIds)
    // Held first, looked for afterwards: a collection in between takes nothing that is counted on.
    options.lease.add(...diffIds.map(id => ({ kind: 'layer', id })), ...chain.map(id => ({ kind: 'snapshot', id })))
    for (const [position, chainId] of chain.entries()) {
      const diffId = diffIds[position]!
      const present = stores.layers.get(diffId) !== undefined && (stores.snapshots === undefined || stores.snapshots.has(chainId))
      if (!present) needed.push(position)
    }
    return new ImageUnpack(diffIds, stores, needed, options)
  }

  /** Whether `add` waits for the layers below before it reads a byte. */
  get isBottomUp(): boolean {
    return this.#stack?.importsInParallel === false
  }

  /**
   * Takes the bytes of a missing layer, compressed or not; `onRead` is told how many were taken, piece by piece. Layers may be added at once, lower ones first.
   * Rejects with `dataLoss` (STRATA_DIFF_ID_MISMATCH) when they are not what the config says.
   */
  async add(position: number, bytes: ByteStream | FileRange | GrowingFile, onRead?: (bytes: number) => void): Promise<void> {
    const diffId = this.#diffIds[position]!
    if (this.#stack === undefined) {
      await this.#stores.layers.importTar(streamFrom(bytes), {
        diffId,
        lease: this.#lease,
        ...this.#signal,
      })
      return
    }
    const staged = this.#stores.layers.stage()
    const chainId = this.#chainIds[position]!
    try {
      const applied = await this.#stack.add(chainId, this.#chainIds[position - 1], {
        diffId,
        bytes,
        indexPath: staged.indexPath,
        headersPath: staged.headersPath,
        tarPath: staged.tarPath,
        ...this.#signal,
        ...(onRead === undefined ? {} : { onRead }),
      })
      this.#arrived.push({ chainId, applied, staged })
    } catch (error) {
      await staged[Symbol.asyncDispose]()
      throw error
    }
  }

  /** Resolves when every layer is durable and visible, with the sum of the layers' content bytes. */
  async commit(): Promise<{ readonly contentBytes: number }> {
    await this.#stored
    const directories = await this.#stack?.commit()
    const extracted = this.#arrived.map(({ chainId, applied, staged }) => ({
      staged,
      applied,
      tree: { directory: directories!.get(chainId), heldBy: { kind: 'snapshot', id: chainId } },
    }))
    await this.#stores.layers.recordTrees(extracted, { lease: this.#lease })
    return { contentBytes: this.#diffIds.reduce((sum, diffId) => sum + this.#stores.layers.get(diffId)!.contentBytes, 0) }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stored.catch(() => undefined)
    await this.#stack?.[Symbol.asyncDispose]()
    for (const { staged } of this.#arrived) await staged[Symbol.asyncDispose]()
  }
}

export interface UnpackOptions {
  /** Holds what the image is made of until the image itself does. */
  readonly lease: Lease
  readonly signal?: AbortSignal
}

function streamFrom(bytes: ByteStream | FileRange | GrowingFile): ByteStream {
  if (bytes instanceof GrowingFile) return bytes.bytes()
  return 'path' in bytes ? fileStream(bytes.path, bytes) : bytes
}
