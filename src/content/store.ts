import type { ByteStream, CallOptions, GrowingFile } from '../base/index.ts'
import type { Lease } from '../metadata/index.ts'
import type { Descriptor, Digest } from '../oci/index.ts'

/** Where blobs come from. */
export interface BlobSource {
  /**
   * The bytes of a blob from `start` on (default 0). From 0 on they are verified: the last chunk is given out
   * only when size and digest are right, else the stream throws STRATA_SIZE_MISMATCH or STRATA_DIGEST_MISMATCH.
   * From a later start nothing can be verified, and whoever puts the parts together does it.
   */
  open(target: Descriptor, options?: OpenOptions): Promise<ByteStream>
}

export interface OpenOptions extends CallOptions {
  /** The first byte that is wanted. */
  readonly start?: number
}

/** Where blobs go. */
export interface BlobSink {
  /** Tells whether the bytes are here. Rejects with STRATA_SIZE_MISMATCH when they are, and are not so many as `target` says. */
  has(target: Descriptor): Promise<boolean>
  /**
   * Resolves when the bytes are stored, durably, under `target.digest`; it does not say that this call stored
   * them, nor that `bytes` was read. Rejects with STRATA_SIZE_MISMATCH or STRATA_DIGEST_MISMATCH when they are
   * not what `target` says, and keeps nothing of them.
   */
  put(target: Descriptor, bytes: ByteStream, options?: CommitOptions): Promise<void>
}

export interface CommitOptions extends CallOptions {
  /** Holds the blob from the moment it exists. */
  readonly lease?: Lease
}

/**
 * What became of the bytes of a blob: `kept` in the store; `derivable`, made again byte for byte by the
 * deriver; `refetchable`, dropped, a registry has them; `damaged`, found to be not what the digest says, to be
 * replaced by the next `put`.
 */
export type BlobState = 'kept' | 'derivable' | 'refetchable' | 'damaged'

export interface BlobInfo {
  readonly digest: Digest
  readonly size: number
  readonly mediaType: string
  readonly state: BlobState
  readonly createdAt: Date
}

/**
 * A write that is not finished: nothing of it can be seen before `commit`. Disposing keeps what was written
 * for the next ingest with the same key; `discard` does not. One ingest of a key is open at a time, in all processes.
 */
export interface Ingest extends AsyncDisposable {
  readonly key: string
  /** Bytes written so far. When the ingest opens: where to go on, because that many were there already. */
  readonly size: number
  /** The blob, when the target that `ingest` was told of is stored already; then there is nothing to write. */
  readonly stored: BlobInfo | undefined
  /** What is there and what `write` appends, for one reader at the same time. Call it before `write`, which ends it. */
  growing(): GrowingFile
  /** Appends to what is there. When it rejects, what came before stays and can be resumed, unless the disk is full. */
  write(bytes: ByteStream): Promise<void>
  /**
   * Makes the bytes a blob and resolves when that is durable. `expected` is verified; without it the digest is the
   * sha256 of what was written. Rejects with STRATA_SIZE_MISMATCH or STRATA_DIGEST_MISMATCH, and then keeps nothing.
   */
  commit(expected: ExpectedBlob, options?: CommitOptions): Promise<BlobInfo>
  /** Deletes what was written. */
  discard(): Promise<void>
}

/** What a committed blob must be; digest and size only where they are known. */
export interface ExpectedBlob {
  readonly mediaType: string
  readonly digest?: Digest
  readonly size?: number
}

export interface IngestOptions extends CallOptions {
  /** What is about to be written: saves the wait for nothing when another process has just stored it. */
  readonly target?: Descriptor
  /** Whether the writer has all bytes at hand: what an interrupted write has left is thrown away, and the ingest begins empty. */
  readonly isAnew?: boolean
}

/**
 * Blobs by digest. What is in the store is whole, verified and durable; a blob under a manifest's or an index's
 * media type is a valid one, and keeps the blobs that it names from being collected.
 */
export interface ContentStore extends BlobSource, BlobSink {
  /** Facts about a blob, or undefined. */
  stat(digest: Digest): Promise<BlobInfo | undefined>
  /** All blobs, by digest. */
  list(): AsyncIterable<BlobInfo>
  /**
   * Begins or resumes a write. While another process has an ingest with this key open, it waits; then it sees
   * what that one left, or `stored`.
   */
  ingest(key: string, options?: IngestOptions): Promise<Ingest>
  /** Deletes a blob, used or not; resolves when there is none. Collections are the usual way. */
  delete(digest: Digest): Promise<void>
}

/** What `open` gives out for a derivable blob; undefined when it cannot be made (any longer). */
export type Deriver = (digest: Digest) => ByteStream | undefined | Promise<ByteStream | undefined>
