import { join } from 'node:path'
import { CURRENT_DIRECTORY, type Mount, removeTree } from '../../host/index.ts'
import {
  type AppliedLayer,
  applyLayer,
  type Change,
  completeLayer,
  copyRootAttributes,
  type LayerInput,
  overlayChanges,
  type ReadableTree,
} from '../../layer/index.ts'
import { overlayUnion } from '../../union/index.ts'
import type { SnapshotChain, SnapshotId, StorageDriver, Usage } from '../driver.ts'
import { diskUsage } from './diskUsage.ts'
import { overlayMount } from './overlayMount.ts'
import { StateDirectories } from './stateDirectories.ts'
import { syncDirectoryFileSystem } from './syncDirectory.ts'

/*
 * overlay2/
 *   <id>/fs           what this state adds: a layer in overlayfs' own form, the upper directory while active
 *   <id>/fs.pending   what completeLayer has left to do, until the layer is sealed
 *   <id>/work         overlayfs' scratch, from the first mounts() of a writable state until it is sealed
 *
 * Ids are short numbers, so that the options of a mount with a hundred layers fit in a page; deeper
 * stacks go through the mount API that takes one layer a call (the kernel door chooses).
 */

/** Docker's overlay2: kernel overlayfs over one directory per layer. Needs root and overlayfs in the kernel. */
export class Overlay2Driver implements StorageDriver {
  readonly name = 'overlay2'
  readonly importsInParallel = true
  readonly #states: StateDirectories

  /** @param root an existing directory for this driver alone, on a file system that can be an upper directory */
  constructor(root: string) {
    this.#states = new StateDirectories(root)
  }

  async create([id, parent]: SnapshotChain): Promise<void> {
    await this.#states.create(id)
    // The upper directory's own attributes are those of the root that a container sees.
    if (parent !== undefined) copyRootAttributes(this.layerDirectory(parent), this.layerDirectory(id))
  }

  persist(id: SnapshotId): Promise<void> {
    return this.#states.sync(id)
  }

  async importLayer([id]: SnapshotChain, layer: LayerInput): Promise<AppliedLayer> {
    await this.#states.create(id)
    return applyLayer(layer, this.layerDirectory(id), { dialect: 'overlay' })
  }

  async mounts(chain: SnapshotChain, access: 'ro' | 'rw'): Promise<readonly Mount[]> {
    const [id, ...below] = chain
    if (below.length === 0) return [{ type: 'bind', source: this.layerDirectory(id), options: ['bind', access] }]
    const directories = (access === 'rw' ? below : chain).map(lower => this.layerDirectory(lower))
    return [await overlayMount(directories, access === 'ro' ? undefined : { upper: this.layerDirectory(id), work: this.#work(id) })]
  }

  async seal(chains: readonly SnapshotChain[]): Promise<void> {
    for (const [id, ...below] of chains) {
      await completeLayer(
        this.layerDirectory(id),
        below.map(lower => this.layerDirectory(lower)),
      )
      await removeTree(CURRENT_DIRECTORY, this.#work(id))
    }
  }

  sync(): Promise<void> {
    return syncDirectoryFileSystem(this.#states.root)
  }

  usage([id]: SnapshotChain): Promise<Usage> {
    return diskUsage(this.layerDirectory(id))
  }

  async tree(chain: SnapshotChain): Promise<ReadableTree> {
    return overlayUnion(chain.map(id => this.layerDirectory(id)))
  }

  async *changes([id, ...below]: SnapshotChain): AsyncGenerator<Change> {
    const lower = overlayUnion(below.map(each => this.layerDirectory(each)))
    try {
      yield* overlayChanges(this.layerDirectory(id), lower)
    } finally {
      await lower.close()
    }
  }

  layerDirectory(id: SnapshotId): string {
    return this.#states.files(id)
  }

  describe([id, ...below]: SnapshotChain): Readonly<Record<string, string>> {
    return {
      ...(below.length === 0 ? {} : { LowerDir: below.map(lower => this.layerDirectory(lower)).join(':') }),
      UpperDir: this.layerDirectory(id),
      WorkDir: this.#work(id),
    }
  }

  remove(id: SnapshotId): Promise<void> {
    return this.#states.remove(id)
  }

  list(): AsyncIterable<SnapshotId> {
    return this.#states.list()
  }

  #work(id: SnapshotId): string {
    return join(this.#states.root, id, 'work')
  }
}
