import { type ByteStream, GrowingFile, StrataError } from '../base/index.ts'
import {
  type Descriptor,
  type Digest,
  digestAlgorithm,
  digestHex,
  isIndex,
  isManifest,
  parseDigest,
  parseManifestOrIndex,
} from '../oci/index.ts'
import type { PartialFile } from './partialFile.ts'
import type { BlobInfo, CommitOptions, ExpectedBlob, Ingest } from './store.ts'
import { digestMismatch, sizeMismatch } from './verified.ts'

/** Bytes on the disk that are verified and synced, and still have no name in the store. */
export interface VerifiedFile {
  readonly path: string
  readonly digest: Digest
  readonly size: number
  readonly mediaType: string
  /** What the blob names, when it is a manifest or an index. */
  readonly children: readonly Digest[]
}

/** Gives a verified file its place and its record, in one transaction. */
export type Publish = (file: VerifiedFile, options: CommitOptions) => BlobInfo

/** An ingest whose bytes are in a partial file. */
export class DiskIngest implements Ingest {
  readonly key: string
  readonly stored: undefined
  readonly #file: PartialFile
  readonly #target: Descriptor | undefined
  readonly #publish: Publish
  #growing: GrowingFile | undefined

  constructor(key: string, file: PartialFile, options: { readonly target: Descriptor | undefined; readonly publish: Publish }) {
    this.key = key
    this.#file = file
    this.#target = options.target
    this.#publish = options.publish
  }

  get size(): number {
    return this.#file.size
  }

  growing(): GrowingFile {
    this.#growing = new GrowingFile(this.#file.path)
    this.#growing.grow(this.#file.size)
    return this.#growing
  }

  async write(bytes: ByteStream): Promise<void> {
    try {
      await this.#write(bytes)
      this.#growing?.end()
    } catch (error) {
      this.#growing?.fail(error)
      throw error
    }
  }

  async commit(expected: ExpectedBlob, options: CommitOptions = {}): Promise<BlobInfo> {
    try {
      const digest = await this.#verify(expected)
      const children = isDocument(expected.mediaType) ? childrenOf(await this.#file.read(), expected.mediaType) : []
      options.signal?.throwIfAborted()
      await this.#file.sync()
      const blob = this.#publish({ path: this.#file.path, digest, size: this.#file.size, mediaType: expected.mediaType, children }, options)
      await this.#file.close()
      return blob
    } catch (error) {
      await this.#giveUp()
      throw error
    }
  }

  async discard(): Promise<void> {
    await this.#file.discard()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close()
  }

  async #write(bytes: ByteStream): Promise<void> {
    try {
      const limit = this.#target?.size ?? Number.MAX_SAFE_INTEGER
      const isWhole = await this.#file.write(bytes, limit, size => this.#growing?.grow(size))
      if (isWhole || this.#target === undefined) return
    } catch (error) {
      // A partial file would keep a full disk full.
      if (this.#file.broken) await this.#giveUp()
      throw error
    }
    await this.discard()
    throw sizeMismatch(this.#target, `more than ${this.#target.size}`)
  }

  /** Discards after a failure, which tells more than a failing discard: what stays behind is collected later. */
  async #giveUp(): Promise<void> {
    await this.discard().catch(() => undefined)
  }

  async #verify(expected: ExpectedBlob): Promise<Digest> {
    if (expected.digest === undefined) {
      const digest = parseDigest(`sha256:${await this.#file.digestHexBy('sha256')}`)
      if (expected.size !== undefined && expected.size !== this.size) throw sizeMismatch({ digest, size: expected.size }, this.size)
      return digest
    }
    if (expected.size !== undefined && expected.size !== this.size) {
      throw sizeMismatch({ digest: expected.digest, size: expected.size }, this.size)
    }
    const algorithm = digestAlgorithm(expected.digest)
    const hex = await this.#file.digestHexBy(algorithm)
    if (hex !== digestHex(expected.digest)) throw digestMismatch(expected.digest, `${algorithm}:${hex}`)
    return expected.digest
  }
}

/** What `ingest` gives for a target that is stored already. */
export class StoredIngest implements Ingest {
  readonly key: string
  readonly stored: BlobInfo
  readonly #hold: (options: CommitOptions) => void

  /** @param hold adds the blob to the lease of a commit, and throws when it has gone */
  constructor(key: string, stored: BlobInfo, hold: (options: CommitOptions) => void) {
    this.key = key
    this.stored = stored
    this.#hold = hold
  }

  get size(): number {
    return this.stored.size
  }

  growing(): GrowingFile {
    throw this.#nothingToWrite()
  }

  async write(): Promise<void> {
    throw this.#nothingToWrite()
  }

  async commit(_expected: ExpectedBlob, options: CommitOptions = {}): Promise<BlobInfo> {
    this.#hold(options)
    return this.stored
  }

  async discard(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {}

  #nothingToWrite(): StrataError {
    return new StrataError('conflict', 'STRATA_BLOB_EXISTS', `Cannot write blob "${this.stored.digest}": it is stored already`)
  }
}

/** Manifests and indexes name other blobs. */
export function isDocument(mediaType: string): boolean {
  return isManifest(mediaType) || isIndex(mediaType)
}

/** The digests that a manifest or an index names. Throws what its parser throws. */
export function childrenOf(bytes: Uint8Array, mediaType: string): readonly Digest[] {
  const document = parseManifestOrIndex(bytes, mediaType)
  const descriptors = document.kind === 'index' ? document.index.manifests : [document.manifest.config, ...document.manifest.layers]
  return descriptors.map(descriptor => descriptor.digest)
}
