import { type ByteStream, GrowingFile, interruptible, observed } from '../base/index.ts'
import type { DiffId } from '../oci/index.ts'
import type { LayerLimits } from './layerApplier.ts'
import { type AppliedLayer, type LayerJob, runLayerJob } from './layerJob.ts'
import type { FileRange } from './layerSource.ts'
import type { Dialect } from './layerTreeWriter.ts'
import { layerWorkers, type RunOptions } from './workerPool.ts'

/** A layer that comes in. */
export interface LayerInput {
  /** What the plain tar must hash to. */
  readonly diffId?: DiffId
  /** The layer tar, compressed or not: the first bytes tell. A file is read by a thread that applies it, a stream is applied in this one. */
  readonly bytes: ByteStream | FileRange | GrowingFile
  /** The layer index is written to this file, which must not exist. It is not synced. */
  readonly indexPath: string
  /** The tar's headers for `rebuildTar` are written to this file, which must not exist. Not synced. */
  readonly headersPath?: string
  /** What keeps the layer as its plain tar leaves it under this name too, which must not exist and is on the same disk. Not synced. */
  readonly tarPath?: string
  /** Default true: the caller will sync, so what keeps the layer as its plain tar begins to write it to the disk while it grows. */
  readonly durable?: boolean
  readonly limits?: LayerLimits
  readonly signal?: AbortSignal
  /** Told how many of `bytes` were taken, piece by piece; for progress. */
  readonly onRead?: (bytes: number) => void
}

/**
 * Applies a layer: one pass that inflates, hashes, indexes and writes. Layers in files are applied by worker threads, as many
 * at once as the machine has cores; more wait. Nothing is synced: the caller makes it durable
 * (syncfs) before it records it.
 *
 * With the dialect `overlay` the directory must be empty, and the layer is complete only after
 * `completeLayer`; with `remove` it holds the tree that the layers below show, and nothing else changes it.
 *
 * @param directory where the tree goes; after a failure it holds whatever was written until then
 * Rejects with `dataLoss` (STRATA_DIFF_ID_MISMATCH) for other bytes than `diffId` says, `invalidArgument`
 * for a tar that is no layer, `resourceExhausted` past the limits, and the errors of the operating system.
 */
export function applyLayer(input: LayerInput, directory: string, options: { readonly dialect: Dialect }): Promise<AppliedLayer> {
  return run(input, { directory, dialect: options.dialect })
}

/** Files that a layer is kept as; they must not exist, and are not synced. */
export interface KeptLayer {
  /** The plain tar. */
  readonly tarPath: string
  /** An EROFS image that has the tar as its device; complete after `completeImage`. Not written for layers that need those below for more than that. */
  readonly imagePath: string
}

/** Keeps a layer as its plain tar, hashed, indexed and made an image in the same pass. Rejects as `applyLayer` does. */
export function keepLayer(input: Omit<LayerInput, 'headersPath' | 'tarPath'>, kept: KeptLayer): Promise<AppliedLayer> {
  return run(input, undefined, kept)
}

/** Hashes and indexes a layer without writing its tree; no privilege is needed. Rejects as `applyLayer` does. */
export function indexLayer(input: Omit<LayerInput, 'headersPath'>): Promise<AppliedLayer> {
  return run(input, undefined)
}

async function run(
  { diffId, bytes, indexPath, headersPath, durable, limits, signal, onRead }: LayerInput,
  tree: { readonly directory: string; readonly dialect: Dialect } | undefined,
  kept?: KeptLayer,
): Promise<AppliedLayer> {
  const job: LayerJob = {
    diffId,
    indexPath,
    headersPath: tree === undefined ? undefined : headersPath,
    durable,
    limits,
    tree,
    ...kept,
  }
  if (bytes instanceof GrowingFile)
    return layerWorkers.run(job, { source: { growing: bytes.path }, sizes: bytes.sizes() }, { signal, onRead })
  if ('path' in bytes) return layerWorkers.run(job, { source: { range: { ...bytes } }, sizes: noSizes() }, { signal, onRead })
  return runHere(job, bytes, { signal, onRead })
}

async function* noSizes(): AsyncGenerator<number> {}

/** What comes through this thread anyhow is applied in it: to send it to another, and to start that, costs more than it saves. */
async function runHere(job: LayerJob, bytes: ByteStream, { signal, onRead }: RunOptions): Promise<AppliedLayer> {
  try {
    const read = onRead === undefined ? bytes : observed(bytes, chunk => onRead(chunk.length))
    return await runLayerJob(job, signal === undefined ? read : interruptible(read, signal), signal)
  } catch (error) {
    signal?.throwIfAborted()
    throw error
  }
}
