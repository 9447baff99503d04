import { StrataError } from '../base/index.ts'
import type { Mount } from '../host/index.ts'
import { type AppliedLayer, type Change, diffTrees, type LayerInput, type ReadableTree } from '../layer/index.ts'
import type { Collectable, Metadata } from '../metadata/index.ts'
import type { SnapshotChain, SnapshotId, StorageDriver, Usage } from './driver.ts'
import { notActive, type SnapshotRecord, SnapshotRecords } from './records.ts'
import type { LayerStack, NameOfLayer, SnapshotInfo, SnapshotKind, Snapshotter } from './snapshotter.ts'

/** The life cycle of states, written once for every storage driver: names, parents, order, durability. */
export class DriverSnapshotter implements Snapshotter {
  readonly #driver: StorageDriver
  readonly #records: SnapshotRecords

  constructor(driver: StorageDriver, metadata: Metadata) {
    this.#driver = driver
    this.#records = new SnapshotRecords(metadata, driver.name)
  }

  get driverName(): string {
    return this.#driver.name
  }

  prepare(key: string, parent: string | undefined): Promise<readonly Mount[]> {
    return this.#open(key, 'active', parent)
  }

  view(key: string, parent: string | undefined): Promise<readonly Mount[]> {
    return this.#open(key, 'view', parent)
  }

  async commit(name: string, key: string): Promise<void> {
    const active = this.#records.get(key)
    if (active.kind !== 'active') throw notActive(key, active.kind)
    await this.#driver.seal(this.#chainOf(active))
    await this.#driver.sync()
    this.#records.commit(name, key)
  }

  async mounts(key: string): Promise<readonly Mount[]> {
    const record = this.#records.get(key)
    if (record.kind === 'committed') {
      throw new StrataError('conflict', 'STRATA_SNAPSHOT_COMMITTED', `Cannot mount snapshot "${key}": it is committed`, {
        hint: 'Open a view on it.',
      })
    }
    return this.#driver.mounts(this.#chainOf(record), accessOf(record.kind))
  }

  async stat(name: string): Promise<SnapshotInfo> {
    return infoOf(this.#records.get(name))
  }

  has(name: string): boolean {
    return this.#records.find(name)?.kind === 'committed'
  }

  async usage(name: string): Promise<Usage> {
    const record = this.#records.get(name)
    if (record.usage !== undefined) return record.usage
    const usage = await this.#driver.usage(this.#chainOf(record))
    if (record.kind === 'committed') this.#records.setUsage(record.id, usage)
    return usage
  }

  async remove(name: string): Promise<void> {
    await this.#driver.remove(this.#records.delete(name))
  }

  async *list(): AsyncGenerator<SnapshotInfo> {
    for (const record of this.#records.list()) yield infoOf(record)
  }

  async tree(name: string): Promise<ReadableTree> {
    return this.#driver.tree(this.#chainOf(this.#records.get(name)))
  }

  async *changes(name: string): AsyncGenerator<Change> {
    const chain = this.#chainOf(this.#records.get(name))
    if (this.#driver.changes !== undefined) {
      yield* this.#driver.changes(chain)
      return
    }
    const [, below, ...rest] = chain
    const upper = await this.#driver.tree(chain)
    try {
      const lower = below === undefined ? undefined : await this.#driver.tree([below, ...rest])
      try {
        yield* diffTrees(lower, upper)
      } finally {
        await lower?.close()
      }
    } finally {
      await upper.close()
    }
  }

  describe(name: string): Readonly<Record<string, string>> {
    return this.#driver.describe(this.#chainOf(this.#records.get(name)))
  }

  importStack(): LayerStack {
    return new DriverLayerStack(this.#driver, this.#records)
  }

  collectable(): Collectable {
    const dropped = new Map<string, SnapshotId>()
    return {
      kind: 'snapshot',
      list: () => this.#records.list().map(({ name }) => name),
      references: name => {
        const parent = this.#records.find(name)?.parent
        return parent === undefined ? [] : [{ kind: 'snapshot', id: parent }]
      },
      drop: name => {
        const id = this.#records.get(name).id
        dropped.set(name, id)
        this.#records.deleteId(id)
      },
      destroy: name => this.#driver.remove(dropped.get(name)!),
    }
  }

  async removeOrphans(): Promise<number> {
    this.#records.deleteAbandoned()
    let removed = 0
    for await (const id of this.#driver.list()) {
      // A row comes before the first file and goes before the last, so files without a row are nobody's.
      if (this.#records.has(id)) continue
      await this.#driver.remove(id)
      removed += 1
    }
    return removed
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Nothing is held open between calls.
  }

  async #open(key: string, kind: 'active' | 'view', parent: string | undefined): Promise<readonly Mount[]> {
    const chain = this.#records.begin(key, kind, parent)
    try {
      await this.#driver.create(chain)
      const mounts = await this.#driver.mounts(chain, accessOf(kind))
      this.#records.finish(chain[0])
      return mounts
    } catch (error) {
      await discard(this.#driver, this.#records, chain[0])
      throw error
    }
  }

  #chainOf(record: SnapshotRecord): SnapshotChain {
    return this.#records.chain(record.id)
  }
}

interface StackedLayer {
  readonly id: SnapshotId
  readonly parent: string | undefined
  readonly applied: Promise<AppliedLayer>
  readonly name: Promise<string>
}

class DriverLayerStack implements LayerStack {
  readonly #driver: StorageDriver
  readonly #records: SnapshotRecords
  readonly #layers: StackedLayer[] = []
  /** Those whose name was known when they were added. */
  readonly #named = new Map<string, StackedLayer>()
  /** Who waits for a layer that has not been added yet. */
  readonly #expected = new Map<string, PromiseWithResolvers<StackedLayer>>()
  readonly #kept = new Set<SnapshotId>()

  constructor(driver: StorageDriver, records: SnapshotRecords) {
    this.#driver = driver
    this.#records = records
  }

  add(name: string | NameOfLayer, parent: string | undefined, layer: LayerInput): Promise<AppliedLayer> {
    const [id] = this.#records.begin(undefined, 'committed', undefined)
    const applied = this.#driver.importsInParallel ? this.#import([id], layer) : this.#importAbove(parent, id, layer)
    const stacked = { id, parent, applied, name: typeof name === 'string' ? Promise.resolve(name) : applied.then(name) }
    // Told by `applied`, and by commit().
    stacked.name.catch(() => undefined)
    this.#layers.push(stacked)
    if (typeof name === 'string') {
      this.#named.set(name, stacked)
      this.#expected.get(name)?.resolve(stacked)
    }
    return applied
  }

  async #import(chain: SnapshotChain, layer: LayerInput): Promise<AppliedLayer> {
    await this.#driver.create(chain)
    return this.#driver.importLayer(chain, layer)
  }

  /** For drivers whose states hold what is below them: the parent must be whole first. */
  async #importAbove(parent: string | undefined, id: SnapshotId, layer: LayerInput): Promise<AppliedLayer> {
    if (parent === undefined) return this.#import([id], layer)
    if (this.#records.find(parent) === undefined) {
      const below = await this.#awaited(parent)
      await below.applied
      await this.#driver.seal(this.#chainOf(below))
    }
    return this.#import([id, ...this.#chainOfName(parent)], layer)
  }

  async #awaited(name: string): Promise<StackedLayer> {
    const present = this.#named.get(name)
    if (present !== undefined) return present
    const expected = this.#expected.get(name) ?? Promise.withResolvers<StackedLayer>()
    this.#expected.set(name, expected)
    return expected.promise
  }

  async commit(): Promise<ReadonlyMap<string, string>> {
    const layers = this.#bottomUp()
    const named = await Promise.all(layers.map(async ({ id, parent, name }) => ({ id, parent, name: await name })))
    for (const layer of layers) await this.#driver.seal(this.#chainOf(layer))
    await this.#driver.sync()
    const committed = this.#records.commitStack(named)
    for (const id of committed.values()) this.#kept.add(id)
    return new Map([...committed].map(([name, id]) => [name, this.#driver.layerDirectory(id)]))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { id, applied } of this.#layers) {
      if (this.#kept.has(id)) continue
      await applied.catch(() => undefined)
      await discard(this.#driver, this.#records, id)
    }
  }

  #bottomUp(): readonly StackedLayer[] {
    const ordered = new Set<StackedLayer>()
    const place = (layer: StackedLayer): void => {
      const below = layer.parent === undefined ? undefined : this.#named.get(layer.parent)
      if (below !== undefined && !ordered.has(below)) place(below)
      ordered.add(layer)
    }
    for (const layer of this.#layers) place(layer)
    return [...ordered]
  }

  #chainOf({ id, parent }: StackedLayer): SnapshotChain {
    return [id, ...(parent === undefined ? [] : this.#chainOfName(parent))]
  }

  #chainOfName(name: string): SnapshotChain {
    const stacked = this.#named.get(name)
    return stacked === undefined ? this.#records.chain(this.#records.get(name).id) : this.#chainOf(stacked)
  }
}

/** Takes back a state that did not come to be. The row stays when the disk refuses, for `removeOrphans`. */
async function discard(driver: StorageDriver, records: SnapshotRecords, id: SnapshotId): Promise<void> {
  await driver.remove(id)
  records.deleteId(id)
}

const accessOf = (kind: SnapshotKind): 'ro' | 'rw' => (kind === 'active' ? 'rw' : 'ro')

function infoOf(record: SnapshotRecord): SnapshotInfo {
  const { name, kind, parent, createdAt } = record
  return { name, kind, parent, createdAt }
}
