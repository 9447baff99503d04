import type { Mount } from '../../host/index.ts'
import { type AppliedLayer, applyLayer, directoryTree, type LayerInput, type ReadableTree } from '../../layer/index.ts'
import type { SnapshotChain, SnapshotId, StorageDriver, Usage } from '../driver.ts'
import { copyTree } from './copyTree.ts'
import { diskUsage } from './diskUsage.ts'
import { StateDirectories } from './stateDirectories.ts'
import { syncDirectoryFileSystem } from './syncDirectory.ts'

/*
 * vfs/
 *   <id>/fs      the whole root filesystem of this state
 */

/**
 * Docker's vfs: every state is a full copy of the one below it, with shared extents where the disk
 * has reflinks. Needs root, and nothing of the kernel: it works on every disk, at the cost of space.
 */
export class VfsDriver implements StorageDriver {
  readonly name = 'vfs'
  readonly importsInParallel = false
  readonly #states: StateDirectories

  /** @param root an existing directory for this driver alone */
  constructor(root: string) {
    this.#states = new StateDirectories(root)
  }

  create(chain: SnapshotChain): Promise<void> {
    return this.#copy(chain)
  }

  persist(): Promise<void> {
    return this.sync()
  }

  async importLayer(chain: SnapshotChain, layer: LayerInput): Promise<AppliedLayer> {
    await this.#copy(chain)
    return applyLayer(layer, this.layerDirectory(chain[0]), { dialect: 'remove' })
  }

  async mounts(chain: SnapshotChain, access: 'ro' | 'rw'): Promise<readonly Mount[]> {
    return [{ type: 'bind', source: this.layerDirectory(chain[0]), options: ['bind', access] }]
  }

  async seal(): Promise<void> {
    // The copy below was complete before the layer came, so nothing is left to do.
  }

  sync(): Promise<void> {
    return syncDirectoryFileSystem(this.#states.root)
  }

  usage(chain: SnapshotChain): Promise<Usage> {
    return diskUsage(this.layerDirectory(chain[0]))
  }

  async tree(chain: SnapshotChain): Promise<ReadableTree> {
    return directoryTree(this.layerDirectory(chain[0]))
  }

  layerDirectory(id: SnapshotId): string {
    return this.#states.files(id)
  }

  describe(chain: SnapshotChain): Readonly<Record<string, string>> {
    return { RootDir: this.layerDirectory(chain[0]) }
  }

  remove(id: SnapshotId): Promise<void> {
    return this.#states.remove(id)
  }

  list(): AsyncIterable<SnapshotId> {
    return this.#states.list()
  }

  async #copy([id, parent]: SnapshotChain): Promise<void> {
    await this.#states.create(id)
    if (parent !== undefined) await copyTree(this.layerDirectory(parent), this.layerDirectory(id))
  }
}
