import { readFileSync, statSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import { isAbsolute, join, relative } from 'node:path'
import { type ByteStream, drain, errnoOf, fileStream, isStrataError, StrataError, systemError } from '../base/index.ts'
import { decompress } from '../compression/index.ts'
import { type DiskContentStore, verified } from '../content/index.ts'
import {
  type AppliedLayer,
  type ByteRange,
  decodeLayerIndex,
  directoryTree,
  indexLayer,
  type LayerIndex,
  type LayerLimits,
  type LayerNode,
  rebuildTar,
  TreeContent,
} from '../layer/index.ts'
import { type Collectable, type Lease, type Metadata, type Resource, Trash } from '../metadata/index.ts'
import { type Digest, type DiffId, parseDigest } from '../oci/index.ts'
import { layerCollectables } from './collectables.ts'
import { LayerFiles, type StagedLayer } from './layerFiles.ts'
import { type LayerPlace, type LayerRecord, LayerRecords } from './layerRecords.ts'
import { TarContents } from './tarContent.ts'
import { treeFaults } from './treeCheck.ts'

export interface LayersOptions {
  /** The root directory, as `openRootDirectory` left it. */
  readonly root: string
  readonly metadata: Metadata
  readonly content: DiskContentStore
}

/** A layer that the store has. */
export interface StoredLayer {
  readonly diffId: DiffId
  /** Size of the plain layer tar. */
  readonly tarBytes: number
  /** Logical bytes of all files, an inode counted once. */
  readonly contentBytes: number
  /** `tree`: a storage driver has extracted it; `tar`: its plain tar is kept. */
  readonly form: 'tree' | 'tar'
  /** What the layer holds; read from the disk by the first use. */
  readonly index: LayerIndex
}

/** A tree that a storage driver extracted from a layer. */
export interface ExtractedTree {
  /**
   * The directory with the content, below the root directory; already durable, and never changed again. Undefined where the
   * driver has left the plain tar in the place of `stage` instead.
   */
  readonly directory: string | undefined
  /** What keeps the directory: a collection keeps it as long as the layer. */
  readonly heldBy: Resource
}

/** A layer that a driver has taken in. */
export interface ExtractedLayer {
  readonly staged: StagedLayer
  readonly applied: LayerFacts
  readonly tree: ExtractedTree
}

type LayerFacts = Pick<AppliedLayer, 'diffId' | 'tarBytes' | 'contentBytes'>

interface NewLayer {
  readonly staged: StagedLayer
  readonly applied: LayerFacts
  readonly place: LayerPlace
}

export interface RecordOptions {
  /** Holds the layer from the moment it exists. */
  readonly lease?: Lease
}

export interface ImportOptions extends RecordOptions {
  /** What the plain tar must hash to. */
  readonly diffId?: DiffId
  readonly limits?: LayerLimits
  readonly signal?: AbortSignal
}

/** Something that a check of the layer store found: the bytes of this layer are lost. */
export interface LayerProblem {
  readonly diffId: DiffId
  /** What is wrong, as a sentence. */
  readonly state: string
}

/** Opens the layers of a root, and makes them what derivable blobs are derived from. */
export function openLayers(options: LayersOptions): LayerStore {
  return new LayerStore(options)
}

/*
 * <root>/layers/
 *   sha256/<hex>/index        the layer index
 *   sha256/<hex>/headers.zst  form 'tree': the tar without the payloads, which are the files of the tree
 *   sha256/<hex>/layer.tar    form 'tar': the plain layer tar
 *   partial/<random>/         the same files while they are written
 */

/** Layers by DiffId: what each one holds, and its exact tar, whether that is kept or made again from a tree. */
export class LayerStore {
  readonly #root: string
  readonly #metadata: Metadata
  readonly #content: DiskContentStore
  readonly #records: LayerRecords
  readonly #files: LayerFiles
  readonly #tars = new TarContents()
  /** Indexes that somebody uses: opening one costs a checksum over all of it. */
  readonly #indexes = new Map<DiffId, WeakRef<LayerIndex>>()

  constructor({ root, metadata, content }: LayersOptions) {
    this.#root = root
    this.#metadata = metadata
    this.#content = content
    this.#records = new LayerRecords(metadata)
    this.#files = new LayerFiles(root, new Trash(root), metadata.durability)
    content.setDeriver(digest => this.#derive(digest))
  }

  /** A layer, or undefined. */
  get(diffId: DiffId): StoredLayer | undefined {
    const record = this.#records.find(diffId)
    return record === undefined ? undefined : this.#stored(record)
  }

  /** All layers, by DiffId. */
  async *list(): AsyncGenerator<StoredLayer, void> {
    for (const record of this.#records.all()) yield this.#stored(record)
  }

  /** A place where `applyLayer` writes the index and the headers of a layer that comes. */
  stage(): StagedLayer {
    return this.#files.stage()
  }

  /**
   * Records layers that a driver has taken in, each with its index, and its headers or its plain tar, in a place of
   * `stage`. Resolves, durably and with all at once, with the layers that the store then has: older ones where those are whole.
   */
  async recordTrees(layers: readonly ExtractedLayer[], options: RecordOptions): Promise<readonly StoredLayer[]> {
    return this.#record(
      layers.map(({ staged, applied, tree }) => ({ staged, applied, place: this.#placeOf(tree) })),
      options,
    )
  }

  /**
   * Keeps a layer as its plain tar. The bytes may be compressed; what is kept is not.
   * Rejects with `dataLoss` (STRATA_DIFF_ID_MISMATCH) for another layer than `diffId` says, and with what
   * `indexLayer` rejects for a tar that is no layer. Resolves as `recordTrees` does.
   */
  async importTar(bytes: ByteStream, options: ImportOptions = {}): Promise<StoredLayer> {
    const { diffId, limits, signal } = options
    await using staged = this.#files.stage()
    try {
      await using file = await open(staged.tarPath, 'wx', 0o600)
      const writeAll = async (chunks: ByteStream): Promise<void> => {
        for await (const chunk of chunks) await file.writeFile(chunk)
      }
      await pipeline(decompress(bytes, { lent: true }), writeAll, signal === undefined ? {} : { signal })
    } catch (error) {
      // What the source or the signal says passes on; only the disk's complaints need words.
      throw errnoOf(error) === undefined ? error : systemError(`write "${staged.tarPath}"`, error)
    }
    const applied = await indexLayer({
      bytes: { path: staged.tarPath },
      indexPath: staged.indexPath,
      ...(diffId === undefined ? {} : { diffId }),
      ...(limits === undefined ? {} : { limits }),
      ...(signal === undefined ? {} : { signal }),
    })
    // Awaited here: the staged files are deleted when this scope ends.
    const [stored] = await this.#record([{ staged, applied, place: { form: 'tar' } }], options)
    return stored!
  }

  /**
   * The exact bytes of the layer tar, verified against the DiffId to the last. The iteration rejects with
   * `notFound` (STRATA_NO_SUCH_LAYER), and with `dataLoss` when the layer is not what it was.
   */
  async *openTar(diffId: DiffId): AsyncGenerator<Uint8Array, void> {
    const expected = { digest: parseDigest(diffId), size: this.#find(diffId).tarBytes }
    yield* verified(this.#tarOf(diffId), expected)
  }

  async *#tarOf(diffId: DiffId): AsyncGenerator<Uint8Array, void> {
    const { place } = this.#find(diffId)
    if (place.form === 'tar') {
      yield* fileStream(this.#files.tarPath(diffId))
      return
    }
    using content = new TreeContent(join(this.#root, place.tree))
    const index = this.#index(diffId)
    yield* rebuildTar({ headersPath: this.#files.headersPath(diffId), index, payload: node => content.payload(node) })
  }

  /**
   * The content of a regular file of the layer, or a part of it; symlinks are not followed. It is not verified: a
   * layer proves only its whole. The iteration rejects with `notFound` for a layer or a path that is not there, and with
   * `invalidArgument` (STRATA_NOT_A_FILE) for anything but a file.
   */
  async *openFile(diffId: DiffId, path: string, range: ByteRange = {}): AsyncGenerator<Uint8Array, void> {
    const { place } = this.#find(diffId)
    const node = this.#file(diffId, path)
    if (place.form === 'tar') {
      yield* this.#tars.read(this.#files.tarPath(diffId), node, range)
      return
    }
    const tree = directoryTree(join(this.#root, place.tree))
    try {
      yield* tree.open(path, range)
    } finally {
      await tree.close()
    }
  }

  /** The kinds of the layer store for `collect`: layers, directories without a record, layers that nobody finishes. */
  collectables(): readonly Collectable[] {
    return layerCollectables({
      records: this.#records,
      files: this.#files,
      forget: diffId => {
        this.#records.delete(diffId)
        this.#content.forgetLayer(diffId)
      },
      sweep: diffId => this.#sweep(diffId),
    })
  }

  /** Makes the tar of every layer and gives those whose bytes are not what the DiffId says, or whose tree lacks something. */
  async *verify(): AsyncGenerator<LayerProblem, void> {
    for (const { diffId, place } of this.#records.all()) {
      try {
        await drain(this.openTar(diffId))
        if (place.form === 'tree') await this.#checkTree(diffId, place.tree)
      } catch (error) {
        if (!isStrataError(error) && !(error instanceof Error && 'code' in error)) throw error
        yield { diffId, state: systemError(`read layer "${diffId}"`, error).message }
      }
    }
  }

  async #checkTree(diffId: DiffId, path: string): Promise<void> {
    const tree = directoryTree(join(this.#root, path))
    try {
      const faults = await Array.fromAsync(treeFaults(this.#index(diffId), tree))
      if (faults.length === 0) return
      const more = faults.length === 1 ? '' : ` (and ${faults.length - 1} more)`
      throw new StrataError('dataLoss', 'STRATA_TREE_DAMAGED', `Cannot use the tree of layer "${diffId}": ${faults[0]}${more}`, {
        hint: 'Remove the images that have this layer, and pull or load them again.',
      })
    } finally {
      await tree.close()
    }
  }

  #stored(record: LayerRecord): StoredLayer {
    const index = (): LayerIndex => this.#index(record.diffId)
    let read: LayerIndex | undefined
    return {
      diffId: record.diffId,
      tarBytes: record.tarBytes,
      contentBytes: record.contentBytes,
      form: record.place.form,
      get index() {
        read ??= index()
        return read
      },
    }
  }

  #placeOf({ directory, heldBy }: ExtractedTree): LayerPlace {
    if (directory === undefined) return { form: 'tar' }
    const tree = relative(this.#root, directory)
    if (tree === '' || tree.startsWith('..') || isAbsolute(tree)) {
      throw new StrataError('invalidArgument', 'STRATA_TREE_OUTSIDE_ROOT', `Cannot record tree "${directory}": it is not below the root`)
    }
    return { form: 'tree', tree, heldBy }
  }

  async #record(layers: readonly NewLayer[], { lease }: RecordOptions): Promise<readonly StoredLayer[]> {
    if (layers.length === 0) return []
    await this.#files.sync(layers.map(({ staged }) => staged))
    const records = this.#metadata.transaction(() => {
      lease?.add(...layers.map(({ applied: { diffId } }) => ({ kind: 'layer', id: diffId })))
      const stored = layers.map(({ staged, applied: { diffId, tarBytes, contentBytes }, place }) => {
        const older = this.#records.find(diffId)
        if (older !== undefined && this.#isWhole(older)) return older
        this.#files.adopt(staged, diffId)
        const newer = { diffId, tarBytes, contentBytes, place }
        this.#records.set(newer)
        return newer
      })
      this.#files.syncNames()
      return stored
    })
    return records.map(record => this.#stored(record))
  }

  #isWhole({ diffId, place, tarBytes }: LayerRecord): boolean {
    if (place.form === 'tar') return this.#files.isWhole(diffId, tarBytes)
    return this.#files.isWhole(diffId) && statSync(join(this.#root, place.tree), { throwIfNoEntry: false }) !== undefined
  }

  #find(diffId: DiffId): LayerRecord {
    const record = this.#records.find(diffId)
    if (record !== undefined) return record
    throw new StrataError('notFound', 'STRATA_NO_SUCH_LAYER', `Cannot open layer "${diffId}": it is not in the store`)
  }

  #index(diffId: DiffId): LayerIndex {
    const known = this.#indexes.get(diffId)?.deref()
    if (known !== undefined) return known
    try {
      const index = decodeLayerIndex(readFileSync(this.#files.indexPath(diffId)))
      this.#indexes.set(diffId, new WeakRef(index))
      return index
    } catch (error) {
      throw systemError(`read the index of layer "${diffId}"`, error)
    }
  }

  #file(diffId: DiffId, path: string): LayerNode {
    const index = this.#index(diffId)
    const entry = index.get(path)
    if (entry === undefined || entry.type === 'whiteout') {
      throw new StrataError('notFound', 'STRATA_NO_SUCH_FILE', `Cannot open "${path}" of layer "${diffId}": the layer has no such file`)
    }
    if (entry.type !== 'file') {
      throw new StrataError('invalidArgument', 'STRATA_NOT_A_FILE', `Cannot open "${path}" of layer "${diffId}": it is a ${entry.type}`)
    }
    if (entry.linkOf !== undefined && index.get(entry.linkOf) === undefined) {
      throw new StrataError(
        'notFound',
        'STRATA_NO_SUCH_FILE',
        `Cannot open "${path}" of layer "${diffId}": it links to a file of a layer below`,
      )
    }
    return entry
  }

  /** A blob that is the plain tar itself. */
  /** The bytes of a blob that is a plain layer tar; the content store verifies them. */
  #derive(digest: Digest): ByteStream | undefined {
    const diffId = this.#content.diffIdOf(digest)
    const isPlain = diffId !== undefined && parseDigest(diffId) === digest
    return isPlain && this.#records.find(diffId) !== undefined ? this.#tarOf(diffId) : undefined
  }

  /** Takes the files of a layer out of the store, unless it has a record. */
  #sweep(diffId: DiffId): void {
    this.#metadata.transaction(() => {
      if (this.#records.find(diffId) === undefined) this.#files.remove(diffId)
    })
  }
}
