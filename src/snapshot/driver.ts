import type { AppliedLayer, Change, LayerInput, ReadableTree } from '../layer/index.ts'
import type { Mount } from '../host/index.ts'

declare const brand: unique symbol

/** Names one filesystem state of one driver on disk: a decimal number. Never used again after its removal. */
export type SnapshotId = string & { readonly [brand]: 'SnapshotId' }

/** chain[0] is the state itself, chain[1] its parent, down to the base. */
export type SnapshotChain = readonly [SnapshotId, ...SnapshotId[]]

/** What a state alone takes on disk, without the states below it. */
export interface Usage {
  /** Bytes of file content, an inode counted once. */
  readonly bytes: number
  readonly inodes: number
}

/**
 * What differs per disk technology. A driver keeps states by id and knows nothing of keys, names,
 * kinds or records: the Snapshotter does, and calls a driver for one id from one place at a time.
 *
 * A state's life: `create` makes it writable on top of chain[1], which is sealed, and it is changed
 * through the mounts; or `importLayer` makes it of a layer. `seal` freezes it, after which it may be a
 * parent; `remove` ends it at any point of that life. Each step may have been cut short by a crash
 * before: `remove` takes whatever is there, and `seal` may be called again. A sealed state that was
 * not recorded as committed is still an active one: it can be mounted, changed and sealed again.
 */
export interface StorageDriver {
  readonly name: string
  /** Whether `importLayer` works before the states below are sealed, so that layers are taken side by side. */
  readonly importsInParallel: boolean

  /** Makes a state that shows what chain[1] shows; durable after `persist`. */
  create(chain: SnapshotChain): Promise<void>

  /** Makes what `create` has made survive power loss. */
  persist(id: SnapshotId): Promise<void>

  /**
   * Makes a state of a layer, without a mount; durable after `sync`. Where layers are imported side by
   * side, the chain is the state alone: what is below is told to `seal`.
   * Rejects with `dataLoss` (STRATA_DIFF_ID_MISMATCH) when the layer's bytes are not what `layer.diffId` says.
   */
  importLayer(chain: SnapshotChain, layer: LayerInput): Promise<AppliedLayer>

  /** How to mount the state; all that is mounted by this call is what states share, which `release`, `seal` and `remove` give back. A sealed state that is a parent is only for 'ro'. */
  mounts(chain: SnapshotChain, access: 'ro' | 'rw'): Promise<readonly Mount[]>

  /** The mounts of a state are gone for now: what `mounts` holds for it, and nobody else needs, goes. */
  release?(id: SnapshotId): Promise<void>

  /**
   * Freezes states, of each the first of its chain: one after the other, each once those below it are sealed, before or by
   * this call. What it wrote is durable after `sync`.
   */
  seal(chains: readonly SnapshotChain[]): Promise<void>

  /** Resolves when everything that this driver has written so far, and what was written through its mounts, survives power loss. */
  sync(): Promise<void>

  usage(chain: SnapshotChain): Promise<Usage>

  /** What the state shows, read without a mount. The caller closes it. */
  tree(chain: SnapshotChain): Promise<ReadableTree>

  /** The directory that holds the content of the layer that `importLayer` took, while the state exists; undefined where it is not extracted. */
  layerDirectory(id: SnapshotId): string | undefined

  /** The directories of a state under the names that `docker inspect` has for them (GraphDriver.Data). */
  describe(chain: SnapshotChain): Readonly<Record<string, string>>

  /** Idempotent: an id that is not there is removed already. */
  remove(id: SnapshotId): Promise<void>

  /** Every id that has something on disk, with or without a record. */
  list(): AsyncIterable<SnapshotId>

  /** For drivers that know what a state changes without walking two trees. */
  changes?(chain: SnapshotChain): AsyncIterable<Change>
}
