import { mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Mount } from '../../host/index.ts'
import { type AppliedLayer, applyLayer, directoryTree, type LayerInput, type ReadableTree } from '../../layer/index.ts'
import type { SnapshotChain, SnapshotId, StorageDriver, Usage } from '../driver.ts'
import { copyTree } from './copyTree.ts'
import { diskUsage } from './diskUsage.ts'
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
  readonly #root: string

  /** @param root an existing directory for this driver alone */
  constructor(root: string) {
    this.#root = root
  }

  async create(chain: SnapshotChain): Promise<void> {
    const [id, parent] = chain
    await mkdir(join(this.#root, id), { mode: 0o700 })
    await mkdir(this.layerDirectory(id), { mode: 0o755 })
    if (parent !== undefined) copyTree(this.layerDirectory(parent), this.layerDirectory(id))
  }

  async mounts(chain: SnapshotChain, access: 'ro' | 'rw'): Promise<readonly Mount[]> {
    return [{ type: 'bind', source: this.layerDirectory(chain[0]), options: ['bind', access] }]
  }

  importLayer(chain: SnapshotChain, layer: LayerInput): Promise<AppliedLayer> {
    return applyLayer(layer, this.layerDirectory(chain[0]), { dialect: 'remove' })
  }

  async seal(): Promise<void> {
    // The copy below was complete before the layer came, so nothing is left to do.
  }

  async sync(): Promise<void> {
    syncDirectoryFileSystem(this.#root)
  }

  usage(chain: SnapshotChain): Promise<Usage> {
    return diskUsage(this.layerDirectory(chain[0]))
  }

  async tree(chain: SnapshotChain): Promise<ReadableTree> {
    return directoryTree(this.layerDirectory(chain[0]))
  }

  layerDirectory(id: SnapshotId): string {
    return join(this.#root, id, 'fs')
  }

  describe(chain: SnapshotChain): Readonly<Record<string, string>> {
    return { RootDir: this.layerDirectory(chain[0]) }
  }

  async remove(id: SnapshotId): Promise<void> {
    await rm(join(this.#root, id), { recursive: true, force: true })
  }

  async *list(): AsyncGenerator<SnapshotId> {
    for (const name of await readdir(this.#root)) yield name as SnapshotId
  }
}
