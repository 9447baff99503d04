import { type Durability, isStrataError, StrataError, systemError } from '../base/index.ts'
import type { Mount } from '../host/index.ts'
import { type Change, diffTrees, type ReadableTree } from '../layer/index.ts'
import type { Collectable, Metadata } from '../metadata/index.ts'
import { discard } from './discard.ts'
import type { SnapshotChain, SnapshotId, StorageDriver, Usage } from './driver.ts'
import { DriverLayerStack } from './layerStack.ts'
import { type NewState, type SnapshotRecord, SnapshotRecords } from './records.ts'
import type { LayerStack, PrepareOptions, SnapshotInfo, SnapshotKind, Snapshotter } from './snapshotter.ts'

/**
 * The life cycle of states, written once for every storage driver: names, parents, order, durability.
 *
 * A row comes before the first file of a state and goes before the last one, so files without a row
 * are nobody's, whatever a crash interrupts. Power loss can take a row that nobody waited for and leave
 * the files: whoever is given that id again removes them first.
 */
export class DriverSnapshotter implements Snapshotter {
  readonly #driver: StorageDriver
  readonly #records: SnapshotRecords
  readonly #durability: Durability

  constructor(driver: StorageDriver, metadata: Metadata) {
    this.#driver = driver
    this.#records = new SnapshotRecords(metadata, driver.name)
    this.#durability = metadata.durability
  }

  get driverName(): string {
    return this.#driver.name
  }

  prepare(key: string, parent: string | undefined, options: PrepareOptions = {}): Promise<readonly Mount[]> {
    return this.#open(key, { kind: 'active', parent, isPassing: options.passing === true }, options.unmounted !== true)
  }

  view(key: string, parent: string | undefined): Promise<readonly Mount[]> {
    return this.#open(key, { kind: 'view', parent, isPassing: true }, true)
  }

  async commit(name: string, key: string): Promise<void> {
    const active = this.#records.get(key)
    if (active.kind !== 'active') {
      throw new StrataError('conflict', 'STRATA_SNAPSHOT_NOT_ACTIVE', `Cannot commit snapshot "${key}": it is ${active.kind}, not active`)
    }
    // Looked at again at the end; now, so that nobody waits for a disk in vain.
    this.#records.refuseTaken(name)
    await during(`commit snapshot "${key}"`, async () => {
      await this.#driver.seal([this.#chainOf(active)])
      if (this.#durability.isWanted) await this.#driver.sync()
      this.#records.commit(name, active)
    })
  }

  async mounts(key: string): Promise<readonly Mount[]> {
    const record = this.#records.get(key)
    if (record.kind === 'committed') {
      throw new StrataError('conflict', 'STRATA_SNAPSHOT_COMMITTED', `Cannot mount snapshot "${key}": it is committed`, {
        hint: 'Open a view on it.',
      })
    }
    return during(`mount snapshot "${key}"`, () => this.#driver.mounts(this.#chainOf(record), accessOf(record.kind)))
  }

  async release(key: string): Promise<void> {
    if (this.#driver.release === undefined) return
    const record = this.#records.find(key)
    if (record !== undefined) await this.#release(key, record.id)
  }

  async #release(key: string, id: SnapshotId): Promise<void> {
    await during(`release snapshot "${key}"`, async () => this.#driver.release?.(id))
  }

  async stat(name: string): Promise<SnapshotInfo> {
    return infoOf(this.#records.get(name))
  }

  has(name: string): boolean {
    return this.#records.isCommitted(name)
  }

  async usage(name: string): Promise<Usage> {
    const record = this.#records.get(name)
    if (record.usage !== undefined) return record.usage
    const usage = await during(`measure snapshot "${name}"`, () => this.#driver.usage(this.#chainOf(record)))
    if (record.kind === 'committed') this.#records.setUsage(record.id, usage)
    return usage
  }

  async remove(name: string): Promise<void> {
    const abandoned = this.#records.findAbandoned(name)
    // A state without a row may be left for long, but not its share of a mount.
    const held = abandoned ?? this.#records.find(name)?.id
    if (held !== undefined) await this.#release(name, held)
    if (abandoned !== undefined) await discard(this.#driver, this.#records, abandoned)
    const id = this.#records.delete(name)
    await during(`remove snapshot "${name}"`, () => this.#driver.remove(id))
  }

  async *list(): AsyncGenerator<SnapshotInfo> {
    for (const record of this.#records.list()) yield infoOf(record)
  }

  async tree(name: string): Promise<ReadableTree> {
    const record = this.#records.get(name)
    return during(`read snapshot "${name}"`, () => this.#driver.tree(this.#chainOf(record)))
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
    return new DriverLayerStack(this.#driver, this.#records, this.#durability)
  }

  collectable(): Collectable {
    const dropped = new Map<string, SnapshotId>()
    return {
      kind: 'snapshot',
      list: () => {
        // Half-made states of processes that are gone would keep their parents.
        this.#records.deleteAbandoned()
        return this.#records.collectable()
      },
      references: name => {
        const parent = this.#records.find(name)?.parent
        return parent === undefined ? [] : [{ kind: 'snapshot', id: parent }]
      },
      drop: name => {
        const { id } = this.#records.get(name)
        dropped.set(name, id)
        this.#records.deleteId(id)
      },
      destroy: async name => {
        const id = dropped.get(name)
        dropped.delete(name)
        if (id !== undefined) await during(`remove snapshot "${name}"`, () => this.#driver.remove(id))
      },
    }
  }

  async removeOrphans(): Promise<number> {
    this.#records.deleteAbandoned()
    let removed = 0
    for await (const id of this.#driver.list()) {
      if (this.#records.has(id)) continue
      try {
        await during('remove what a crash left', () => this.#driver.remove(id))
        removed += 1
      } catch (error) {
        // Another process removes it at the same time.
        if (!isStrataError(error, 'notFound')) throw error
      }
    }
    return removed
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Nothing is held open between calls.
  }

  async #open(key: string, state: NewState, mounted: boolean): Promise<readonly Mount[]> {
    const chain = this.#records.begin(key, state)
    const [id] = chain
    try {
      return await during(`prepare snapshot "${key}"`, async () => {
        await this.#driver.remove(id)
        await this.#driver.create(chain)
        if (!state.isPassing && this.#durability.isWanted) await this.#driver.persist(id)
        const mounts = mounted ? await this.#driver.mounts(chain, accessOf(state.kind)) : []
        this.#records.finish(id, state)
        return mounts
      })
    } catch (error) {
      await discard(this.#driver, this.#records, id)
      throw error
    }
  }

  #chainOf(record: SnapshotRecord): SnapshotChain {
    return this.#records.chain(record.id)
  }
}

async function during<T>(action: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw systemError(action, error)
  }
}

const accessOf = (kind: SnapshotKind): 'ro' | 'rw' => (kind === 'active' ? 'rw' : 'ro')

function infoOf(record: SnapshotRecord): SnapshotInfo {
  const { name, kind, parent, createdAt } = record
  return { name, kind, parent, createdAt }
}
