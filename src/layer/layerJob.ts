import { createWriteStream } from 'node:fs'
import { rm } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import { type ByteStream, fileStream, observed, StrataError, systemError } from '../base/index.ts'
import { decompress } from '../compression/index.ts'
import type { DiffId } from '../oci/index.ts'
import { writePending } from './completeLayer.ts'
import { LayerApplier, type LayerLimits } from './layerApplier.ts'
import { type Dialect, LayerTreeWriter } from './layerTreeWriter.ts'
import { TarHeadersWriter } from './tarHeaders.ts'

/** A part of a file, in bytes: `start` (default 0) up to and without `end` (default: the end). */
export interface FileRange {
  readonly path: string
  readonly start?: number
  readonly end?: number
}

/** What to do with one layer; plain data, so that it can go to another thread. */
export interface LayerJob {
  readonly diffId?: DiffId | undefined
  readonly indexPath: string
  readonly headersPath?: string | undefined
  readonly limits?: LayerLimits | undefined
  /** Where the bytes come from; absent when they are sent. */
  readonly file?: FileRange | undefined
  /** Where the tree goes; absent when none is wanted. */
  readonly tree?: { readonly directory: string; readonly dialect: Dialect } | undefined
}

/** Smaller chunks may share their memory with others. */
const RELEASED_BYTES = 64 * 1024

/**
 * Gives the memory of a chunk back at once. Left to the garbage collector, which hardly sees buffers
 * outside of its heap, some 64 MB of used chunks pile up in each thread.
 */
function release(chunk: Uint8Array): void {
  const { buffer, byteLength, byteOffset } = chunk
  const last = byteLength >= RELEASED_BYTES && byteOffset + byteLength === buffer.byteLength
  if (last && buffer instanceof ArrayBuffer) buffer.transfer(0)
}

/** What is known of a layer after one pass over its bytes. */
export interface AppliedLayer {
  readonly diffId: DiffId
  /** Size of the plain layer tar. */
  readonly tarBytes: number
  /** Logical bytes of all files, an inode counted once. */
  readonly contentBytes: number
  /** Names in the layer, the root included. */
  readonly entryCount: number
  /** Xattrs of the tar that only overlayfs may set; they were left out. */
  readonly strippedXattrs: number
  /** Xattrs that the file system of the tree refused. */
  readonly skippedXattrs: number
}

/**
 * Does a job in this thread.
 *
 * @param sent the layer's bytes for jobs without a file; decompressed here when they are compressed
 * @param control.onRead told how many bytes of the job's file were read, piece by piece
 */
export async function runLayerJob(
  job: LayerJob,
  sent: ByteStream,
  { signal, onRead }: { readonly signal: AbortSignal; readonly onRead: (bytes: number) => void },
): Promise<AppliedLayer> {
  const { tree, headersPath, limits } = job
  const headers = headersPath === undefined ? undefined : new TarHeadersWriter(headersPath)
  let applier: LayerApplier | undefined
  try {
    applier = new LayerApplier({
      ...(tree === undefined ? {} : { writer: model => new LayerTreeWriter(tree.directory, model, tree.dialect) }),
      ...(headers === undefined ? {} : { headers }),
      ...(limits === undefined ? {} : { limits }),
    })
    for await (const chunk of decompress(job.file === undefined ? sent : observed(fileRange(job.file), chunk => onRead(chunk.length)))) {
      signal.throwIfAborted()
      applier.write(chunk)
      release(chunk)
    }
    const { index, diffId, model, tarBytes, strippedXattrs, skippedXattrs } = applier.finish()
    if (job.diffId !== undefined && job.diffId !== diffId) {
      throw new StrataError('dataLoss', 'STRATA_DIFF_ID_MISMATCH', `Cannot apply layer ${job.diffId}: its bytes are those of ${diffId}`)
    }
    await pipeline(index.parts, createWriteStream(job.indexPath, { flags: 'wx', mode: 0o600 }))
    if (tree?.dialect === 'overlay') await writePending(tree.directory, model)
    return { diffId, tarBytes, contentBytes: index.contentBytes, entryCount: index.entryCount, strippedXattrs, skippedXattrs }
  } catch (error) {
    if (headersPath !== undefined) await rm(headersPath, { force: true })
    throw error
  } finally {
    applier?.close()
    headers?.close()
  }
}

async function* fileRange(range: FileRange): AsyncGenerator<Uint8Array> {
  try {
    yield* fileStream(range.path, range)
  } catch (error) {
    throw systemError(`read "${range.path}"`, error)
  }
}
