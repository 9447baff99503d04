import { type Durability, StrataError, systemError } from '../base/index.ts'
import type { AppliedLayer, LayerInput } from '../layer/index.ts'
import { discard } from './discard.ts'
import type { SnapshotChain, SnapshotId, StorageDriver } from './driver.ts'
import type { SnapshotRecords } from './records.ts'
import type { LayerStack, NameOfLayer } from './snapshotter.ts'

interface StackedLayer {
  readonly id: SnapshotId
  readonly parent: string | undefined
  readonly applied: Promise<AppliedLayer>
  /** Resolves after `applied`. */
  readonly name: Promise<string>
}

/** The layers of one image on their way into a driver. */
export class DriverLayerStack implements LayerStack {
  readonly #driver: StorageDriver
  readonly #records: SnapshotRecords
  readonly #durability: Durability
  readonly #layers: StackedLayer[] = []
  /** Those whose name is known. */
  readonly #named = new Map<string, StackedLayer>()
  /** Who waits for a layer that has not been added yet. */
  readonly #expected = new Map<string, PromiseWithResolvers<StackedLayer>>()
  readonly #committed = new Set<SnapshotId>()
  readonly #stop = new AbortController()

  constructor(driver: StorageDriver, records: SnapshotRecords, durability: Durability) {
    this.#driver = driver
    this.#records = records
    this.#durability = durability
  }

  get importsInParallel(): boolean {
    return this.#driver.importsInParallel
  }

  async add(name: string | NameOfLayer, parent: string | undefined, layer: LayerInput): Promise<AppliedLayer> {
    this.#stop.signal.throwIfAborted()
    const id = this.#records.beginLayer(parent)
    const signal = layer.signal === undefined ? this.#stop.signal : AbortSignal.any([this.#stop.signal, layer.signal])
    const applied = this.#import({ id, parent }, { ...layer, signal, durable: this.#durability.isWanted })
    const named = applied.then(result => (typeof name === 'string' ? name : name(result)))
    const stacked: StackedLayer = { id, parent, applied, name: named }
    this.#layers.push(stacked)
    if (typeof name === 'string') this.#know(name, stacked)
    // Failures are told by this call, and by commit() again.
    named.then(
      known => this.#know(known, stacked),
      () => undefined,
    )
    return applied
  }

  async commit(): Promise<ReadonlyMap<string, string | undefined>> {
    for (const [name, { reject }] of this.#expected) reject(noSuchParent(name))
    const names = new Map<StackedLayer, string>()
    for (const layer of this.#layers) names.set(layer, await layer.name)
    const layers = this.#bottomUp()
    try {
      await this.#driver.seal(layers.map(layer => this.#chainOf(layer)))
      if (this.#durability.isWanted) await this.#driver.sync()
    } catch (error) {
      throw systemError('complete the layers of an image', error)
    }
    this.#stop.signal.throwIfAborted()
    const committed = this.#records.commitStack(layers.map(layer => ({ id: layer.id, parent: layer.parent, name: names.get(layer)! })))
    for (const id of committed.values()) this.#committed.add(id)
    return new Map([...committed].map(([name, id]) => [name, this.#driver.layerDirectory(id)]))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new StrataError('cancelled', 'STRATA_CANCELLED', 'Cannot import layer: its image was given up')
    this.#stop.abort(ended)
    for (const { reject } of this.#expected.values()) reject(ended)
    await Promise.allSettled(this.#layers.map(({ applied }) => applied))
    for (const { id } of this.#layers) if (!this.#committed.has(id)) await discard(this.#driver, this.#records, id)
  }

  async #import(layer: Pick<StackedLayer, 'id' | 'parent'>, input: LayerInput): Promise<AppliedLayer> {
    const { id, parent } = layer
    // Drivers whose states hold what is below them need the parent whole first.
    const chain: SnapshotChain =
      this.#driver.importsInParallel || parent === undefined ? [id] : [id, ...(await this.#wholeChainOf(parent, input.signal))]
    try {
      // Of one whom power loss took the same id from.
      await this.#driver.remove(id)
      return await this.#driver.importLayer(chain, input)
    } catch (error) {
      input.signal?.throwIfAborted()
      throw systemError('import layer', error)
    }
  }

  /** The chain of a parent that is whole. What this stack has itself counts, also when somebody else commits the same meanwhile. */
  async #wholeChainOf(name: string, signal: AbortSignal | undefined): Promise<SnapshotChain> {
    if (!this.#named.has(name) && this.#records.isCommitted(name)) return this.#records.chain(this.#records.get(name).id)
    const below = await this.#awaited(name, signal)
    await below.applied
    this.#stop.signal.throwIfAborted()
    const chain = this.#chainOf(below)
    await this.#driver.seal([chain])
    return chain
  }

  #know(name: string, layer: StackedLayer): void {
    // The same layer twice in one stack: the first one counts.
    if (!this.#named.has(name)) this.#named.set(name, layer)
    this.#expected.get(name)?.resolve(layer)
    this.#expected.delete(name)
  }

  /** A layer that is here or to come; gives up with the signal, since one that could not be had never comes. */
  async #awaited(name: string, signal: AbortSignal | undefined): Promise<StackedLayer> {
    const present = this.#named.get(name)
    if (present !== undefined) return present
    const expected = this.#expected.get(name) ?? Promise.withResolvers<StackedLayer>()
    this.#expected.set(name, expected)
    signal?.throwIfAborted()
    signal?.addEventListener('abort', () => expected.reject(signal.reason as Error), { once: true })
    return expected.promise
  }

  #bottomUp(): readonly StackedLayer[] {
    const ordered = new Set<StackedLayer>()
    for (const layer of this.#layers) {
      const above: StackedLayer[] = []
      for (let at: StackedLayer | undefined = layer; at !== undefined && !ordered.has(at); at = this.#below(at)) above.push(at)
      for (const each of above.toReversed()) ordered.add(each)
    }
    return [...ordered]
  }

  #below({ parent }: StackedLayer): StackedLayer | undefined {
    return parent === undefined ? undefined : this.#named.get(parent)
  }

  #chainOf(layer: StackedLayer): SnapshotChain {
    const chain: [SnapshotId, ...SnapshotId[]] = [layer.id]
    let at = layer
    for (let below = this.#below(at); below !== undefined; below = this.#below(at)) {
      chain.push(below.id)
      at = below
    }
    if (at.parent !== undefined) chain.push(...this.#records.chain(this.#records.get(at.parent).id))
    return chain
  }
}

function noSuchParent(name: string): StrataError {
  return new StrataError('notFound', 'STRATA_NO_SUCH_SNAPSHOT', `Cannot import layer on top of snapshot "${name}": no such snapshot`)
}
