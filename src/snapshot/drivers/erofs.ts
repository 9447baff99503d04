import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { CURRENT_DIRECTORY, type Mount, removeTree } from '../../host/index.ts'
import {
  type AppliedLayer,
  type Change,
  copyRootAttributes,
  imageTree,
  keepLayer,
  type LayerInput,
  overlayChanges,
  type ReadableTree,
  setRootAttributes,
} from '../../layer/index.ts'
import type { SnapshotChain, SnapshotId, StorageDriver, Usage } from '../driver.ts'
import { diskUsage } from './diskUsage.ts'
import {
  imageFile,
  linkOrCopy,
  shareTar,
  type LowerState,
  rootIn,
  SealedStates,
  stateUnion,
  completeLayerImage,
  writeMergedImage,
} from './layerImages.ts'
import { MAX_LOWERS, overlayMount } from './overlayMount.ts'
import { SharedMounts } from './sharedMounts.ts'
import { StateDirectories } from './stateDirectories.ts'
import { syncDirectoryFileSystem } from './syncDirectory.ts'

/*
 * erofs/
 *   <id>/layer/       a layer: its image (layerImages.ts) and its mount (sharedMounts.ts)
 *   <id>/merged/      the same for this state and all below it, where a stack on it is deeper than overlayfs takes
 *   <id>/fs, work     a state that is or was active: an overlay's upper directory, as overlay2 has it
 *   <id>/mounted      the images that a state may use
 */

/** States are merged in multiples of it. */
const MERGED_STATES = MAX_LOWERS / 2

/**
 * Layers that are not extracted: the plain tar stays one file, and an EROFS image of its metadata makes the kernel
 * read files straight out of it. Each layer is mounted once, whatever stands on it, so its pages are in memory
 * once; a state on top is an overlay of these mounts. Needs root and Linux 6.12.
 */
export class ErofsDriver implements StorageDriver {
  readonly name = 'erofs'
  readonly importsInParallel = true
  readonly #states: StateDirectories
  readonly #mounts: SharedMounts

  /** @param root an existing directory for this driver alone, on a file system that can be an upper directory */
  constructor(root: string) {
    this.#states = new StateDirectories(root)
    this.#mounts = new SharedMounts(root)
  }

  async create([id, parent]: SnapshotChain): Promise<void> {
    await this.#states.create(id)
    if (parent !== undefined) await this.#copyRoot(parent, this.#states.files(id))
  }

  persist(id: SnapshotId): Promise<void> {
    return this.#states.sync(id)
  }

  async importLayer([id]: SnapshotChain, layer: LayerInput): Promise<AppliedLayer> {
    const image = this.#image(id)
    mkdirSync(join(this.#states.root, id), { mode: 0o700 })
    mkdirSync(image, { mode: 0o700 })
    const applied = await keepLayer(layer, { tarPath: join(image, 'data.0'), imagePath: join(image, 'image') })
    await linkOrCopy(layer.indexPath, join(image, 'index'))
    await shareTar(join(image, 'data.0'), applied.tarBytes, layer.tarPath)
    return applied
  }

  async mounts(chain: SnapshotChain, access: 'ro' | 'rw'): Promise<readonly Mount[]> {
    const [id, ...below] = chain
    const states = await this.#mergeDepths(access === 'rw' ? below : chain)
    const images = states.flatMap(state => ('image' in state ? [state.image] : []))
    if (images.length > 0) await this.#mounts.use(join(this.#states.root, id), images)
    const directories = states.map(state => ('image' in state ? rootIn(join(state.image, 'mnt')) : state.directory))
    if (below.length === 0) return [{ type: 'bind', source: directories[0] ?? this.#states.files(id), options: ['bind', access] }]
    const writable = access === 'ro' ? undefined : { upper: this.#states.files(id), work: this.#work(id) }
    return [await overlayMount(directories, writable)]
  }

  release(id: SnapshotId): Promise<void> {
    return this.#mounts.release(join(this.#states.root, id))
  }

  async seal(chains: readonly SnapshotChain[]): Promise<void> {
    await using below = new SealedStates()
    const states = new Map<SnapshotId, LowerState>()
    for (const [id, ...lower] of chains) {
      if ('image' in this.#state(id)) {
        for (const each of lower) if (!states.has(each)) states.set(each, this.#state(each))
        await completeLayerImage(
          this.#image(id),
          lower.map(each => states.get(each)!),
          below,
        )
        continue
      }
      await removeTree(CURRENT_DIRECTORY, this.#work(id))
      await this.#mounts.release(join(this.#states.root, id))
    }
  }

  sync(): Promise<void> {
    return syncDirectoryFileSystem(this.#states.root)
  }

  async usage([id]: SnapshotChain): Promise<Usage> {
    const state = this.#state(id)
    return 'image' in state ? imageUsage(state.image) : diskUsage(state.directory)
  }

  async tree(chain: SnapshotChain): Promise<ReadableTree> {
    return stateUnion(chain.map(id => this.#state(id)))
  }

  async *changes([id, ...below]: SnapshotChain): AsyncGenerator<Change> {
    const state = this.#state(id)
    const lower = stateUnion(below.map(each => this.#state(each)))
    const image = 'image' in state ? imageTree(imageFile(state.image)) : undefined
    try {
      yield* overlayChanges(image ?? this.#states.files(id), lower)
    } finally {
      await image?.close()
      await lower.close()
    }
  }

  layerDirectory(): undefined {
    return undefined
  }

  describe([id, ...below]: SnapshotChain): Readonly<Record<string, string>> {
    const directory = (each: SnapshotId): string => {
      const state = this.#state(each)
      return 'image' in state ? rootIn(join(state.image, 'mnt')) : state.directory
    }
    return {
      ...(below.length === 0 ? {} : { LowerDir: below.map(directory).join(':') }),
      UpperDir: directory(id),
      WorkDir: this.#work(id),
    }
  }

  async remove(id: SnapshotId): Promise<void> {
    if (!existsSync(join(this.#states.root, id))) return
    await this.#mounts.release(join(this.#states.root, id))
    for (const image of [this.#image(id), this.#mergedImage(id)]) this.#mounts.drop(image)
    await this.#states.remove(id)
  }

  list(): AsyncIterable<SnapshotId> {
    return this.#states.list()
  }

  /**
   * The states of an overlay. Where they are more than it takes, the lowest are one: so many, counted from the base, that stacks
   * which grow on top of each other have the same one for long.
   */
  async #mergeDepths(ids: readonly SnapshotId[]): Promise<readonly LowerState[]> {
    const states = ids.map(id => this.#state(id))
    if (states.length <= MAX_LOWERS) return states
    const lowest = Math.ceil((states.length + 1 - MAX_LOWERS) / MERGED_STATES) * MERGED_STATES
    const top = states.length - lowest
    const merged = this.#mergedImage(ids[top]!)
    await this.#mounts.alone(() => writeMergedImage(merged, states.slice(top)))
    return [...states.slice(0, top), { image: merged }]
  }

  async #copyRoot(parent: SnapshotId, to: string): Promise<void> {
    const state = this.#state(parent)
    if ('directory' in state) {
      copyRootAttributes(state.directory, to)
      return
    }
    const tree = imageTree(imageFile(state.image))
    try {
      setRootAttributes(to, (await tree.lstat(''))!)
    } finally {
      await tree.close()
    }
  }

  #state(id: SnapshotId): LowerState {
    const image = this.#image(id)
    return existsSync(image) ? { image } : { directory: this.#states.files(id) }
  }

  #image(id: SnapshotId): string {
    return join(this.#states.root, id, 'layer')
  }

  #mergedImage(id: SnapshotId): string {
    return join(this.#states.root, id, 'merged')
  }

  #work(id: SnapshotId): string {
    return join(this.#states.root, id, 'work')
  }
}

/** Adds up what an image names, an inode once. */
async function imageUsage(image: string): Promise<Usage> {
  const tree = imageTree(imageFile(image))
  try {
    const seen = new Set<string>()
    let bytes = 0
    const pending = ['']
    for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
      const node = (await tree.lstat(path))!
      if (seen.has(node.inode)) continue
      seen.add(node.inode)
      bytes += node.size
      if (node.type === 'directory') for (const name of await tree.list(path)) pending.push(path === '' ? name : `${path}/${name}`)
    }
    return { bytes, inodes: seen.size }
  } finally {
    await tree.close()
  }
}
