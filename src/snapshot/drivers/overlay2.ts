import { mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Mount } from '../../host/index.ts'
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
import { syncDirectoryFileSystem } from './syncDirectory.ts'

/*
 * overlay2/
 *   <id>/fs      what this state adds: a layer in overlayfs' own form, the upper directory while active
 *   <id>/work    overlayfs' scratch, for writable states
 *
 * Ids are short numbers, so that the options of a mount with a hundred layers fit in a page; deeper
 * stacks go through the mount API that takes one layer a call (the kernel door chooses).
 */

/** Docker's overlay2: kernel overlayfs over one directory per layer. Needs root and overlayfs in the kernel. */
export class Overlay2Driver implements StorageDriver {
  readonly name = 'overlay2'
  readonly importsInParallel = true
  readonly #root: string

  /** @param root an existing directory for this driver alone, on a file system that can be an upper directory */
  constructor(root: string) {
    this.#root = root
  }

  async create(chain: SnapshotChain): Promise<void> {
    const [id, parent] = chain
    await mkdir(join(this.#root, id), { mode: 0o700 })
    await mkdir(this.layerDirectory(id), { mode: 0o755 })
    await mkdir(this.#work(id), { mode: 0o700 })
    // The upper directory's own attributes are those of the root that a container sees.
    if (parent !== undefined) copyRootAttributes(this.layerDirectory(parent), this.layerDirectory(id))
  }

  async mounts(chain: SnapshotChain, access: 'ro' | 'rw'): Promise<readonly Mount[]> {
    const [id, ...below] = chain
    if (below.length === 0) return [{ type: 'bind', source: this.layerDirectory(id), options: ['bind', access] }]
    if (access === 'rw') {
      const lowers = below.map(lower => this.layerDirectory(lower)).join(':')
      return [
        {
          type: 'overlay',
          source: 'overlay',
          options: [`lowerdir=${lowers}`, `upperdir=${this.layerDirectory(id)}`, `workdir=${this.#work(id)}`, ...FEATURES_OFF],
        },
      ]
    }
    const lowers = chain.map(lower => this.layerDirectory(lower)).join(':')
    return [{ type: 'overlay', source: 'overlay', options: ['ro', `lowerdir=${lowers}`, ...READ_ONLY_FEATURES_OFF] }]
  }

  importLayer(chain: SnapshotChain, layer: LayerInput): Promise<AppliedLayer> {
    return applyLayer(layer, this.layerDirectory(chain[0]), { dialect: 'overlay' })
  }

  async seal(chain: SnapshotChain): Promise<void> {
    const [id, ...below] = chain
    await completeLayer(
      this.layerDirectory(id),
      below.map(lower => this.layerDirectory(lower)),
    )
    await rm(this.#work(id), { recursive: true, force: true })
  }

  async sync(): Promise<void> {
    syncDirectoryFileSystem(this.#root)
  }

  usage(chain: SnapshotChain): Promise<Usage> {
    return diskUsage(this.layerDirectory(chain[0]))
  }

  async tree(chain: SnapshotChain): Promise<ReadableTree> {
    return overlayUnion(chain.map(id => this.layerDirectory(id)))
  }

  async *changes(chain: SnapshotChain): AsyncGenerator<Change> {
    const [id, ...below] = chain
    const lower = overlayUnion(below.map(each => this.layerDirectory(each)))
    try {
      yield* overlayChanges(this.layerDirectory(id), lower)
    } finally {
      await lower.close()
    }
  }

  layerDirectory(id: SnapshotId): string {
    return join(this.#root, id, 'fs')
  }

  describe(chain: SnapshotChain): Readonly<Record<string, string>> {
    const [id, ...below] = chain
    return {
      ...(below.length === 0 ? {} : { LowerDir: below.map(lower => this.layerDirectory(lower)).join(':') }),
      UpperDir: this.layerDirectory(id),
      WorkDir: this.#work(id),
    }
  }

  async remove(id: SnapshotId): Promise<void> {
    await rm(join(this.#root, id), { recursive: true, force: true })
  }

  async *list(): AsyncGenerator<SnapshotId> {
    for (const name of await readdir(this.#root)) yield name as SnapshotId
  }

  #work(id: SnapshotId): string {
    return join(this.#root, id, 'work')
  }
}

/**
 * What a container layer holds must be what it shows: with redirects or metadata-only copies (kernel
 * Documentation/filesystems/overlayfs.rst) an upper directory is no layer. The kernel's defaults for
 * these differ by configuration, so they are always said.
 */
const READ_ONLY_FEATURES_OFF: readonly string[] = ['redirect_dir=off', 'metacopy=off']
const FEATURES_OFF: readonly string[] = [...READ_ONLY_FEATURES_OFF, 'index=off']
