import { closeSync, openSync, write, writeSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { promisify } from 'node:util'
import { type ByteStream, release, StrataError } from '../base/index.ts'
import { decompress, type Inflater } from '../compression/index.ts'
import { isalInflater, Writeback } from '../host/index.ts'
import type { DiffId } from '../oci/index.ts'
import { isImageable, writePendingImage } from './completeImage.ts'
import { writePending } from './completeLayer.ts'
import { imageBytes } from './imageBytes.ts'
import { LayerApplier, type LayerLimits } from './layerApplier.ts'
import { type Dialect, LayerTreeWriter } from './layerTreeWriter.ts'
import { modelImageTree } from './modelImage.ts'
import { TarHeadersWriter } from './tarHeaders.ts'

/** What to do with one layer; plain data, so that it can go to another thread. */
export interface LayerJob {
  readonly diffId?: DiffId | undefined
  readonly indexPath: string
  readonly headersPath?: string | undefined
  readonly limits?: LayerLimits | undefined
  /** Where the tree goes; absent when none is wanted. */
  readonly tree?: { readonly directory: string; readonly dialect: Dialect } | undefined
  /** Where the plain tar goes; absent when it is not kept. */
  readonly tarPath?: string | undefined
  /** Default true: the tar begins to go to the disk while it grows. */
  readonly durable?: boolean | undefined
  /** Where the layer's EROFS image goes, for `completeImage`, unless it would have to know the layers below; absent when none is wanted. */
  readonly imagePath?: string | undefined
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

/** Those that no job of this thread has. */
const idleInflaters: Inflater[] = []

/**
 * Does a job in this thread.
 *
 * @param bytes the layer tar, compressed or not
 */
export async function runLayerJob(job: LayerJob, bytes: ByteStream, signal: AbortSignal | undefined): Promise<AppliedLayer> {
  const { tree, headersPath, limits, tarPath, durable = true } = job
  const headers = headersPath === undefined ? undefined : new TarHeadersWriter(headersPath)
  const inflater = idleInflaters.pop() ?? isalInflater()
  let applier: LayerApplier | undefined
  let tar: TarFile | undefined
  try {
    if (tarPath !== undefined) tar = new TarFile(tarPath, durable)
    applier = new LayerApplier({
      ...(tree === undefined ? {} : { writer: model => new LayerTreeWriter(tree.directory, model, tree.dialect) }),
      ...(headers === undefined ? {} : { headers }),
      ...(limits === undefined ? {} : { limits }),
    })
    for await (const chunk of decompress(bytes, { lent: true, inflater })) {
      signal?.throwIfAborted()
      // The disk and this thread work at the same time.
      const written = tar?.write(chunk)
      try {
        applier.write(chunk)
      } finally {
        await written
      }
    }
    const {
      index: { parts, contentBytes, entryCount },
      diffId,
      model,
      tarBytes,
      strippedXattrs,
      skippedXattrs,
    } = applier.finish()
    if (job.diffId !== undefined && job.diffId !== diffId) {
      throw new StrataError('dataLoss', 'STRATA_DIFF_ID_MISMATCH', `Cannot apply layer ${job.diffId}: its bytes are those of ${diffId}`)
    }
    writeNew(job.indexPath, parts)
    if (job.imagePath !== undefined && isImageable(model)) {
      writePendingImage(job.imagePath, model)
      writeNew(job.imagePath, [imageBytes(modelImageTree(model), [{ bytes: tarBytes }])])
    }
    if (tree?.dialect === 'overlay') await writePending(tree.directory, model)
    return { diffId, tarBytes, contentBytes, entryCount, strippedXattrs, skippedXattrs }
  } catch (error) {
    if (headersPath !== undefined) await rm(headersPath, { force: true })
    throw error
  } finally {
    if (inflater !== undefined) idleInflaters.push(inflater)
    await tar?.close()
    applier?.close()
    headers?.close()
  }
}

/** To hand over so little to another thread takes longer than to write it. */
const SMALL_BYTES = 64 * 1024

const writeAside = promisify(write)

/** A plain tar on its way to the disk. */
class TarFile {
  readonly #fd: number
  readonly #writeback: Writeback | undefined
  #size = 0

  /** The file must not exist. */
  constructor(path: string, durable: boolean) {
    this.#fd = openSync(path, 'wx', 0o600)
    if (durable) this.#writeback = new Writeback(this.#fd)
  }

  async write(chunk: Uint8Array): Promise<void> {
    if (chunk.length <= SMALL_BYTES) writeWhole(this.#fd, chunk)
    else for (let done = 0; done < chunk.length;) done += (await writeAside(this.#fd, chunk, done)).bytesWritten
    this.#size += chunk.length
    this.#writeback?.grown(this.#size)
  }

  async close(): Promise<void> {
    await this.#writeback?.end()
    closeSync(this.#fd)
  }
}

/** Writes a file that must not exist, and gives the memory of its parts back at once: those of a large layer have many megabytes. */
function writeNew(path: string, parts: readonly Buffer[]): void {
  const fd = openSync(path, 'wx', 0o600)
  try {
    for (const part of parts) {
      writeWhole(fd, part)
      release(part)
    }
  } finally {
    closeSync(fd)
  }
}

function writeWhole(fd: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) done += writeSync(fd, bytes, done)
}
