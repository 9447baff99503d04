import type { Change, AppliedLayer, LayerInput, ReadableTree } from '../layer/index.ts'
import type { Mount } from '../host/index.ts'
import type { Collectable } from '../metadata/index.ts'
import type { Usage } from './driver.ts'

export type SnapshotKind = 'active' | 'view' | 'committed'

export interface SnapshotInfo {
  /** The key of an active snapshot or a view, the name of a committed one. */
  readonly name: string
  readonly kind: SnapshotKind
  readonly parent: string | undefined
  readonly createdAt: Date
}

/**
 * Filesystem states and how one becomes the next. `prepare` and `view` open a state on top of a
 * committed one; `commit` freezes an active state under a name; nothing else changes a kind.
 *
 * In this interface `key` is a state being worked on, `name` a frozen one, and `parent` always a
 * name. Keys and names share one space: neither is given twice. A committed state never changes, so
 * any number of states may stand on it, and it is removed only when none does.
 *
 *     await snapshots.prepare('work', undefined)      // an empty, writable state
 *     perform(await snapshots.mounts('work')), write files, unmount
 *     await snapshots.commit('base', 'work')          // 'work' is gone, 'base' may be a parent
 *     await snapshots.prepare('container-1', 'base')  // writable again, on top
 *
 * Several processes use one store at once. What a call has resolved survives power loss, but for views
 * and passing states; what is written through the mounts of an active state does from `commit` on. A call that failed, or that a
 * crash cut short, has no effect that anyone sees; what it left on disk is removed by `removeOrphans`.
 *
 * Every method rejects with `notFound` (STRATA_NO_SUCH_SNAPSHOT) for a key, name or parent that is
 * not there, and with `alreadyExists` (STRATA_SNAPSHOT_EXISTS) for a key or name that is.
 */
export interface Snapshotter extends AsyncDisposable {
  /** The storage driver's name, as users say it: `overlay2`. */
  readonly driverName: string

  prepare(key: string, parent: string | undefined, options?: PrepareOptions): Promise<readonly Mount[]>
  view(key: string, parent: string | undefined): Promise<readonly Mount[]>
  /** Removes `key`. Rejects with `conflict` when it is not active; it stays as it was then. The mounts must be gone before. */
  commit(name: string, key: string): Promise<void>
  /** As at `prepare` or `view`, for an active snapshot or a view; a committed one is mounted through a view. */
  mounts(key: string): Promise<readonly Mount[]>
  /** Says that the mounts of a snapshot are gone for now, so that nothing need be kept ready for them; `mounts` makes it so again. One that is not there has nothing to release. */
  release(key: string): Promise<void>
  stat(name: string): Promise<SnapshotInfo>
  /** Whether there is a committed state of this name. Costs one read of the records. */
  has(name: string): boolean
  /** What the state alone takes, without its parents. Counted once for a committed one. */
  usage(name: string): Promise<Usage>
  /**
   * Rejects with `conflict` (STRATA_SNAPSHOT_HAS_CHILDREN) while something stands on it. The mounts must be gone before.
   * Also takes away what a `prepare` or `view` has left whose process is gone, and rejects with `notFound` all the same.
   */
  remove(name: string): Promise<void>
  list(): AsyncIterable<SnapshotInfo>

  /** What the state shows, read without a mount. The caller closes it. */
  tree(name: string): Promise<ReadableTree>
  /** What an active or committed state changes in its parent, sorted by path. */
  changes(name: string): AsyncIterable<Change>
  /** The driver's own directories of a state, under docker's names, for `inspect`. */
  describe(name: string): Readonly<Record<string, string>>
  /** The layers of an image, taken side by side where the driver can, and visible all at once. */
  importStack(): LayerStack
  /** The states as a collection sees them: each keeps its parent, and so does one that is being made. */
  collectable(): Collectable
  /** Removes what crashes left on disk. Safe while others work. Resolves with how many states went. */
  removeOrphans(): Promise<number>
}

export interface PrepareOptions {
  /** For a state that nobody misses after power loss: until it is committed, neither its making nor its removal waits for the disk. */
  readonly passing?: boolean
  /** It is mounted at another time, if ever: nothing is kept ready for its mounts, of which none are given. */
  readonly unmounted?: boolean
}

/** Gives the name of a layer that is only known when its bytes have been read. */
export type NameOfLayer = (applied: AppliedLayer) => string

/**
 * Layers on their way into a Snapshotter. Disposing of it without `commit` stops what is under way and
 * leaves nothing behind.
 */
export interface LayerStack extends AsyncDisposable {
  /** False where `add` waits for the layers below before it reads a byte. */
  readonly importsInParallel: boolean
  /**
   * Takes the bytes of one layer, which becomes the committed state `name` on top of `parent`, which
   * is committed already or is a name of this stack. The layers may be added at once, in any order; who
   * waits for one before adding the next adds the lower ones first.
   * Rejects with `dataLoss` (STRATA_DIFF_ID_MISMATCH) when the bytes are not what `layer.diffId` says.
   */
  add(name: string | NameOfLayer, parent: string | undefined, layer: LayerInput): Promise<AppliedLayer>
  /**
   * Waits for all layers that were added, and makes them durable and then visible, all of them at once.
   * A name that somebody else committed in the meantime is theirs: the layer is the same one, and ours
   * is dropped. Rejects, and nothing is visible, when a layer failed.
   * Resolves with the directory that holds each layer's content, by name; undefined for layers that are not extracted
   * but kept as tars, under the name that `LayerInput.tarPath` gave them too.
   */
  commit(): Promise<ReadonlyMap<string, string | undefined>>
}
