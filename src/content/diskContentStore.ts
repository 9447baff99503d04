import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  type ByteStream,
  CHUNK_BYTES,
  drain,
  fileStream,
  isStrataError,
  readAtMost,
  StrataError,
  streamOf,
  systemError,
} from '../base/index.ts'
import { type Collectable, type Metadata, Trash } from '../metadata/index.ts'
import { type Descriptor, type DiffId, type Digest, LIMITS } from '../oci/index.ts'
import { BlobBatch } from './blobBatch.ts'
import { BlobFiles } from './blobFiles.ts'
import { BlobRecords } from './blobRecords.ts'
import { contentCollectables } from './collectables.ts'
import { writeLayoutHeader, writeLayoutIndex } from './imageLayoutFiles.ts'
import { childrenOf, isDocument, type VerifiedFile } from './ingest.ts'
import { IngestDirectory } from './ingestDirectory.ts'
import { type BlobProblem, markBlob, scrubBlobs } from './scrub.ts'
import type { BlobInfo, CommitOptions, ContentStore, Deriver, Ingest, IngestOptions, OpenOptions } from './store.ts'
import { UploadRecords } from './uploadRecords.ts'
import { sizeMismatch, skipBytes, verified } from './verified.ts'

export interface ContentOptions {
  /** The root directory, as `openRootDirectory` left it. */
  readonly root: string
  readonly metadata: Metadata
}

/** Opens the blobs of a root; makes its directories (0700) where there are none. */
export function openContent(options: ContentOptions): DiskContentStore {
  return new DiskContentStore(options)
}

/*
 * <root>/
 *   oci-layout, index.json   the root is an OCI image layout of every image whose blobs are all kept
 *   blobs/<alg>/<hex>        blobs; a file without a record is garbage
 *   ingest/<hash of a key>   what is being written
 *   ingest/put-<random>      the same where nobody resumes it
 *   ingest/small-<alg>-<hex> a small blob that waits for others, or was left by who was killed
 *   trash/                   what is being deleted
 *
 * A blob comes to be in this order, and each step is durable before the next: bytes, name, record.
 * It goes in the opposite order: record, name, bytes. So a crash leaves garbage, never a hole.
 */

/** The ContentStore on a disk. */
export class DiskContentStore implements ContentStore {
  readonly #root: string
  readonly #metadata: Metadata
  readonly #records: BlobRecords
  readonly #files: BlobFiles
  readonly #trash: Trash
  readonly #ingests: IngestDirectory
  #derive: Deriver = () => undefined

  constructor({ root, metadata }: ContentOptions) {
    this.#root = root
    this.#metadata = metadata
    this.#records = new BlobRecords(metadata)
    this.#trash = new Trash(root)
    this.#files = new BlobFiles(root, this.#trash, metadata.durability)
    this.#ingests = new IngestDirectory(join(root, 'ingest'), {
      durability: metadata.durability,
      publish: (file, options) => this.#publish(file, options),
      find: (target, options) => this.#hold(target, options),
    })
    if (!existsSync(join(root, 'oci-layout'))) this.#createLayout()
  }

  async stat(digest: Digest): Promise<BlobInfo | undefined> {
    const blob = this.#records.find(digest)
    return blob === undefined ? undefined : this.#seen(blob)
  }

  async *list(): AsyncGenerator<BlobInfo, void> {
    for (const blob of this.#records.all()) yield this.#seen(blob)
  }

  async has(target: Descriptor): Promise<boolean> {
    const blob = await this.stat(target.digest)
    if (!isHere(blob)) return false
    if (blob.size !== target.size) throw sizeMismatch(target, blob.size)
    return true
  }

  async open(target: Descriptor, options: OpenOptions = {}): Promise<ByteStream> {
    const start = options.start ?? 0
    const blob = this.#records.find(target.digest)
    if (blob === undefined) throw notInStore(target.digest)
    if (blob.size !== target.size) throw sizeMismatch(target, blob.size)
    if (!Number.isSafeInteger(start) || start < 0 || start > blob.size) {
      throw new StrataError(
        'invalidArgument',
        'STRATA_BLOB_RANGE',
        `Cannot open blob "${blob.digest}" at byte ${start}: it has ${blob.size} bytes`,
      )
    }
    const { state } = this.#seen(blob)
    if (state === 'derivable') return interruptible(skipBytes(verified(await this.#derived(blob.digest), blob), start), options.signal)
    if (state === 'refetchable') throw this.#notHere(blob)
    if (state === 'damaged') throw this.#damaged(blob)
    const path = this.#files.path(blob.digest)
    return interruptible(start === 0 ? this.#readKept(blob, path) : fileStream(path, { start }), options.signal)
  }

  async put(target: Descriptor, bytes: ByteStream, options: CommitOptions = {}): Promise<void> {
    if (this.#hold(target, options) !== undefined) {
      await bytes[Symbol.asyncIterator]().return?.()
      await this.#readAsDocument(target)
      return
    }
    await using ingest = await this.#ingests.begin(target)
    try {
      await ingest.write(interruptible(bytes, options.signal))
    } catch (error) {
      await ingest.discard().catch(() => undefined)
      throw error
    }
    await ingest.commit(target, options)
  }

  async ingest(key: string, options: IngestOptions = {}): Promise<Ingest> {
    return this.#ingests.resume(key, options)
  }

  /** Deletes what an ingest has left, unless somebody goes on with it now. */
  discardIngest(key: string): void {
    this.#ingests.discard(key)
  }

  /** What killed writes have left, by its id as a resource of kind `ingest`: it can be resumed, or collected. */
  interruptedIngests(): readonly { readonly id: string; readonly bytes: number }[] {
    return this.#ingests.interrupted().map(({ name, bytes }) => ({ id: name, bytes }))
  }

  /** Begins to store small blobs together: many `put`s in the time of one. */
  batch(options: CommitOptions = {}): BlobBatch {
    return new BlobBatch(this.#ingests.path, {
      durability: this.#metadata.durability,
      read: async target => {
        // Held first, looked for afterwards.
        options.lease?.add({ kind: 'blob', id: target.digest })
        return (await this.has(target)) ? readAtMost(await this.open(target), target.size) : undefined
      },
      publish: files => this.#publishAll(files, options),
    })
  }

  async delete(digest: Digest): Promise<void> {
    this.#metadata.transaction(() => this.#records.delete(digest))
    this.#sweep(digest)
    await this.#trash.empty()
  }

  /** Says who makes the bytes of derivable blobs. */
  setDeriver(derive: Deriver): void {
    this.#derive = derive
  }

  /**
   * Records a blob whose bytes can be made from a layer at any time: for an uncompressed one the layer's tar itself.
   * A blob that is kept stays kept.
   *
   * @throws StrataError `dataLoss` (STRATA_LAYER_MISMATCH) for a blob that is known to hold another layer
   */
  recordDerivable(target: Descriptor, diffId: DiffId, options: CommitOptions = {}): void {
    this.#metadata.transaction(() => {
      this.#records.setLayer(target, diffId)
      if (this.#hold(target, options) !== undefined) return
      this.#records.set({ ...target, state: 'derivable', children: [] })
      options.lease?.add({ kind: 'blob', id: target.digest })
    })
  }

  /**
   * Gives the disk back the bytes of a blob but not the blob. As `derivable` it is derived once and compared
   * first; as `refetchable` it needs a source. Rejects with `conflict` where neither holds. An index.json that
   * lists an image with this blob is to be written again.
   */
  async release(digest: Digest, state: 'derivable' | 'refetchable'): Promise<void> {
    const blob = this.#records.find(digest)
    if (blob === undefined) throw notInStore(digest)
    if (state === 'derivable') await drain(verified(await this.#derived(digest), blob))
    else if (this.sources(digest).length === 0) {
      throw new StrataError('conflict', 'STRATA_BLOB_HAS_NO_SOURCE', `Cannot release blob "${digest}": no registry is known to have it`)
    }
    this.#metadata.transaction(() => this.#records.setState(digest, state))
    this.#sweep(digest)
    await this.#trash.empty()
  }

  /** Several notes as one step, which costs one wait for the disk. */
  noteTogether(notes: () => void): void {
    this.#metadata.transaction(notes)
  }

  /** Notes that a repository (`host/path`) has a blob, which need not be here. */
  addSource(digest: Digest, repository: string): void {
    this.#records.addSource(digest, repository)
  }

  /** The repositories that had a blob, the last seen first. */
  sources(digest: Digest): readonly string[] {
    return this.#records.sources(digest)
  }

  /** Where blobs are being uploaded to in a repository (`host/path`). */
  uploadsTo(repository: string): UploadRecords {
    return new UploadRecords(this.#metadata, repository)
  }

  /**
   * Notes, after it was verified, that a layer blob holds this layer. The blob need not be here.
   *
   * @throws StrataError `dataLoss` (STRATA_LAYER_MISMATCH) for a blob that is known to hold another layer
   */
  setUncompressed(blob: Descriptor, diffId: DiffId): void {
    this.#records.setLayer(blob, diffId)
  }

  /** The layer that a layer blob holds, where that is known. */
  diffIdOf(digest: Digest): DiffId | undefined {
    return this.#records.layerOf(digest)
  }

  /** The known blobs that hold a layer, compressed or not, here or only in registries. */
  blobsOf(diffId: DiffId): readonly Descriptor[] {
    return this.#records.blobsOf(diffId)
  }

  /** Forgets the blobs of a layer that are not in this store. For the layer store, when it drops the layer. */
  forgetLayer(diffId: DiffId): void {
    this.#records.forgetLayer(diffId)
  }

  /** What a manifest or an index that is in the store names. */
  children(digest: Digest): readonly Digest[] {
    return this.#records.children(digest)
  }

  /** What a blob is recorded as; undefined when there is none. */
  mediaTypeOf(digest: Digest): string | undefined {
    return this.#records.find(digest)?.mediaType
  }

  /**
   * Writes index.json: of each entry the first form that is kept with all that it names. Synchronous and under the
   * write lock; call it in the transaction that changes the images.
   */
  writeIndex(entries: readonly (readonly Descriptor[])[]): void {
    this.#metadata.transaction(() => {
      const complete = entries.flatMap(forms => forms.find(({ digest }) => this.#records.isComplete(digest)) ?? [])
      writeLayoutIndex(this.#root, complete, this.#metadata.durability)
    })
  }

  /**
   * The kinds of the content store for `collect`: blobs, files without a record, ingests that nobody resumes.
   *
   * @param options.interrupted true: also ingests that killed processes left less than a day ago, which could be resumed
   */
  collectables({ interrupted = false }: { readonly interrupted?: boolean } = {}): readonly Collectable[] {
    return contentCollectables({
      records: this.#records,
      files: this.#files,
      ingests: this.#ingests,
      interrupted,
      sweep: digest => this.#sweep(digest),
    })
  }

  /**
   * Reads every blob and gives what is wrong, damage and garbage. A damaged blob is marked, and the next pull
   * or load replaces it; one that was marked and is whole loses the mark.
   */
  verify(): AsyncGenerator<BlobProblem, void> {
    return scrubBlobs({ metadata: this.#metadata, records: this.#records, files: this.#files, derive: digest => this.#derived(digest) })
  }

  #createLayout(): void {
    try {
      for (const name of ['blobs', 'ingest']) mkdirSync(join(this.#root, name), { recursive: true, mode: 0o700 })
    } catch (error) {
      throw systemError(`create the directories of "${this.#root}"`, error)
    }
    this.#metadata.transaction(() => {
      if (existsSync(join(this.#root, 'oci-layout'))) return
      writeLayoutIndex(this.#root, [], this.#metadata.durability)
      writeLayoutHeader(this.#root, this.#metadata.durability)
    })
  }

  /** The record as the disk confirms it. */
  #seen(blob: BlobInfo): BlobInfo {
    return blob.state === 'kept' && !this.#files.hasSize(blob.digest, blob.size) ? { ...blob, state: 'damaged' } : blob
  }

  /** The blob if its bytes are here; then the lease holds it. */
  #hold(target: Descriptor, options: CommitOptions): BlobInfo | undefined {
    return this.#metadata.transaction(() => {
      const record = this.#records.find(target.digest)
      const blob = record === undefined ? undefined : this.#seen(record)
      if (!isHere(blob)) return undefined
      if (blob.size !== target.size) throw sizeMismatch(target, blob.size)
      options.lease?.add({ kind: 'blob', id: target.digest })
      return blob
    })
  }

  #publish(file: VerifiedFile, options: CommitOptions): BlobInfo {
    const { digest } = file
    try {
      return this.#metadata.transaction(() => {
        // Also over a file that is there: it may be a damaged one.
        this.#files.adopt([file])
        options.lease?.add({ kind: 'blob', id: digest })
        return this.#records.set({ ...file, state: 'kept' })
      })
    } catch (error) {
      // The name may be given and the record not, when the disk is full.
      this.#sweep(digest)
      throw error
    }
  }

  /** As `#publish`; of a batch, what is here already stays. */
  #publishAll(files: readonly VerifiedFile[], { lease }: CommitOptions): void {
    try {
      this.#metadata.transaction(() => {
        lease?.add(...files.map(({ digest }) => ({ kind: 'blob', id: digest })))
        const missing = files.filter(file => this.#hold(file, {}) === undefined)
        this.#files.adopt(missing)
        for (const file of missing) this.#records.set({ ...file, state: 'kept' })
      })
    } catch (error) {
      for (const { digest } of files) this.#sweep(digest)
      throw error
    }
  }

  /** Takes the file of a blob out of the store, unless a record says that it is needed. */
  #sweep(digest: Digest): void {
    this.#metadata.transaction(() => {
      const state = this.#records.find(digest)?.state
      if (state !== 'kept' && state !== 'damaged') this.#files.remove(digest)
    })
  }

  /** Bytes that were stored under a type that says nothing may later be called a manifest; then they must be one. */
  async #readAsDocument(target: Descriptor): Promise<void> {
    const blob = this.#records.find(target.digest)
    if (blob?.state !== 'kept' || !isDocument(target.mediaType) || isDocument(blob.mediaType)) return
    const bytes = await readAtMost(await this.open(target), LIMITS.manifestBytes, `blob "${target.digest}"`)
    const children = childrenOf(bytes, target.mediaType)
    this.#metadata.transaction(() => {
      if (this.#records.find(target.digest)?.state === 'kept') this.#records.set({ ...target, state: 'kept', children })
    })
  }

  async #derived(digest: Digest): Promise<ByteStream> {
    const bytes = await this.#derive(digest)
    if (bytes !== undefined) return bytes
    throw new StrataError('dataLoss', 'STRATA_BLOB_NOT_DERIVABLE', `Cannot make blob "${digest}": the layer that it is made from has gone`)
  }

  async *#readKept(blob: BlobInfo, path: string): AsyncGenerator<Uint8Array, void> {
    const version = this.#files.version(blob.digest)
    try {
      // Node's streams take longer to load than a config or a manifest to read.
      yield* verified(blob.size <= CHUNK_BYTES ? streamOf(readFileSync(path)) : fileStream(path), blob)
    } catch (error) {
      if (!isStrataError(error, 'dataLoss')) throw systemError(`read blob "${blob.digest}"`, error)
      markBlob(blob.digest, { state: 'damaged', version }, { metadata: this.#metadata, records: this.#records, files: this.#files })
      throw this.#damaged(blob, error)
    }
  }

  #damaged(blob: BlobInfo, cause?: StrataError): StrataError {
    return new StrataError(
      'dataLoss',
      cause?.code ?? 'STRATA_BLOB_DAMAGED',
      `Cannot read blob "${blob.digest}": its file "${this.#files.path(blob.digest)}" is damaged`,
      { cause, hint: 'Pull or load the image again: that replaces the blob.' },
    )
  }

  #notHere(blob: BlobInfo): StrataError {
    const [source] = this.sources(blob.digest)
    return new StrataError('unavailable', 'STRATA_BLOB_NOT_HERE', `Cannot open blob "${blob.digest}": its bytes are not kept here`, {
      hint: source === undefined ? 'Pull the image again.' : `Pull the image again; "${source}" had this blob.`,
    })
  }
}

function isHere(blob: BlobInfo | undefined): blob is BlobInfo {
  return blob?.state === 'kept' || blob?.state === 'derivable'
}

function notInStore(digest: Digest): StrataError {
  return new StrataError('notFound', 'STRATA_NO_SUCH_BLOB', `Cannot open blob "${digest}": it is not in the store`)
}

/** Passes bytes on until the signal says to stop. */
async function* interruptible(bytes: ByteStream, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array, void> {
  for await (const chunk of bytes) {
    signal?.throwIfAborted()
    yield chunk
  }
}
