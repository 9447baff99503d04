import type { Metadata } from '../../src/metadata/index.ts'
import type { StorageDriver } from '../../src/snapshot/index.ts'

/** What happens at the chosen point: one call fails, or the process ends, after which nothing it calls has any effect. */
export type Fault = 'fails' | 'crashes'

export class InjectedFault extends Error {}

/** Points before and after every step that a Snapshotter takes on its driver and its records, in the order in which they are met. */
export class FaultPoints {
  readonly #chosen: number
  readonly #fault: Fault
  #met = 0
  #down = false
  /** What was about to happen, or had happened, at the chosen point. */
  place: string | undefined

  constructor(chosen: number, fault: Fault) {
    this.#chosen = chosen
    this.#fault = fault
  }

  /** Whether the chosen point was met. */
  get hit(): boolean {
    return this.place !== undefined
  }

  meet(place: string): void {
    if (this.#down) throw new InjectedFault(place)
    this.#met += 1
    if (this.#met - 1 !== this.#chosen) return
    this.place = place
    this.#down = this.#fault === 'crashes'
    throw new InjectedFault(place)
  }

  async around<T>(step: string, work: () => Promise<T>): Promise<T> {
    this.meet(`before ${step}`)
    const result = await work()
    this.meet(`after ${step}`)
    return result
  }

  /** A driver with a point before and after each of its steps. */
  driver(driver: StorageDriver): StorageDriver {
    return {
      name: driver.name,
      importsInParallel: driver.importsInParallel,
      create: chain => this.around('create', () => driver.create(chain)),
      persist: id => this.around('persist', () => driver.persist(id)),
      importLayer: (chain, layer) => this.around('importLayer', () => driver.importLayer(chain, layer)),
      mounts: (chain, access) => this.around('mounts', () => driver.mounts(chain, access)),
      seal: chains => this.around('seal', () => driver.seal(chains)),
      sync: () => this.around('sync', () => driver.sync()),
      usage: chain => driver.usage(chain),
      tree: chain => driver.tree(chain),
      layerDirectory: id => driver.layerDirectory(id),
      describe: chain => driver.describe(chain),
      remove: id => this.around('remove', () => driver.remove(id)),
      list: () => driver.list(),
    }
  }

  /** Records with a point before each transaction and each statement, and for crashes behind them. */
  metadata(metadata: Metadata): Metadata {
    const around = <T>(step: string, work: () => T): T => {
      this.meet(`before ${step}`)
      const result = work()
      // A call that has done its work does not fail; but its process may end.
      if (this.#fault === 'crashes') this.meet(`after ${step}`)
      return result
    }
    return {
      path: metadata.path,
      durability: metadata.durability,
      migrate: (part, steps) => metadata.migrate(part, steps),
      all: (sql, ...parameters) => metadata.all(sql, ...parameters),
      get: (sql, ...parameters) => metadata.get(sql, ...parameters),
      run: (sql, ...parameters) => around(sql, () => metadata.run(sql, ...parameters)),
      transaction: work => around('transaction', () => metadata.transaction(work)),
      passingTransaction: work => around('passing transaction', () => metadata.passingTransaction(work)),
      close: () => metadata.close(),
      [Symbol.dispose]: () => metadata.close(),
    }
  }
}
