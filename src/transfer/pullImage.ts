import {
  type ByteStream,
  type CallOptions,
  fileStream,
  GrowingFile,
  isStrataError,
  lent,
  readAtMost,
  StrataError,
  streamOf,
} from '../base/index.ts'
import { type BlobBatch, type DiskContentStore, type Ingest, sizeMismatch, verified } from '../content/index.ts'
import { type ImageFacts, imageFacts, ImageUnpack, type UnpackStores, verifyLayer } from '../image/index.ts'
import type { FileRange } from '../layer/index.ts'
import type { Lease } from '../metadata/index.ts'
import { type Descriptor, type DiffId, type Digest, digestHex, layerCompression, parseDigest } from '../oci/index.ts'
import { copyGraph, type GraphSink, withRoot } from './copyGraph.ts'
import type { ImageSource } from './imageSource.ts'
import type { RemoteImage } from './remoteImage.ts'

export interface TransferStores extends UnpackStores {
  readonly content: DiskContentStore
}

export interface PullImageOptions extends CallOptions {
  /** Holds what arrives until the caller has named the image. */
  readonly lease: Lease
}

/** As many layers at once as docker fetches. */
const LAYERS_AT_ONCE = 3
/** Blobs of layers of at most this size become durable together. */
const SMALL_LAYER_BYTES = 64 * 1024

/**
 * Brings an image into the stores: blobs as they are, each layer unpacked while its
 * bytes arrive. A blob whose fetch was interrupted goes on where it stopped. Nothing is an image yet when this
 * resolves: the caller records what it gives.
 *
 * What several processes pull at once is fetched once: who has the ingest of a manifest, or of a layer, fetches, and the others wait
 * for it. A process has one manifest's ingest at most, and takes it before those of layers. Who has a layer's waits for nothing but the
 * network and the applying of that layer, never for another ingest; where applying it waits for the layers below, the ingest
 * is left before. So somebody always goes on, and no two processes wait for each other.
 *
 * Rejects with `dataLoss` when bytes are not what digest or DiffId say; nothing of them is kept then.
 */
export async function pullImage(
  source: ImageSource,
  image: RemoteImage,
  stores: TransferStores,
  options: PullImageOptions,
): Promise<ImageFacts> {
  const damaged = new Set<Digest>()
  try {
    return await pullOnce(source, image, stores, { ...options, damaged })
  } catch (error) {
    // What an earlier pull, or a power loss, had left was no part of the blob; it is gone now.
    if (damaged.size === 0 || options.signal?.aborted === true) throw error
    return await pullOnce(source, image, stores, { ...options, damaged })
  }
}

async function pullOnce(
  source: ImageSource,
  image: RemoteImage,
  stores: TransferStores,
  options: PullImageOptions & { readonly damaged: Set<Digest> },
): Promise<ImageFacts> {
  const { content } = stores
  const { remote, manifest, config, configBytes } = image
  const { damaged, lease, signal } = options
  lease.add(...[remote.descriptor, manifest.config, ...manifest.layers].map(({ digest }) => ({ kind: 'blob', id: digest })))
  // Who pulls the same image meanwhile waits here, and then finds it.
  await using whole = await content.ingest(remote.descriptor.digest, { target: remote.descriptor, isAnew: true, ...signalOf(options) })
  await using small = content.batch({ lease })
  await small.add(manifest.config, configBytes)
  const diffIds = config.rootfs.diff_ids
  // Layers may wait for one below that does not come any more.
  const giveUp = new AbortController()
  const stop = signal === undefined ? giveUp.signal : AbortSignal.any([signal, giveUp.signal])
  await using unpack = ImageUnpack.begin(diffIds, stores, { lease, signal: stop })
  checkTarSizes(manifest.layers, diffIds, stores)
  const missing = new Set(unpack.missing)
  const report = layerReporter(manifest.layers, options)
  // A layer that came in another form is here without the blob that this manifest names; and a blob that is here may hold another
  // layer than the config says: what is not known to belong together is read.
  for (const [position, layer] of manifest.layers.entries()) {
    const diffId = diffIds[position]!
    if (isPlain(layer, diffId)) continue
    if (content.diffIdOf(layer.digest) !== diffId || !(await content.has(layer))) missing.add(position)
  }
  for (const position of manifest.layers.keys()) report(position, missing.has(position) ? 'Pulling fs layer' : 'Already exists')
  const sink: GraphSink = {
    async take(target) {
      const positions = [...missing].filter(position => manifest.layers[position]!.digest === target.digest)
      // Two equal layers of one image are fetched once; the second is read from the store.
      for (const position of positions) {
        const pull = new LayerPull(source, content, { unpack, small, position, layer: target, report, lease, damaged, signal: stop })
        await pull.run(diffIds[position]!).catch((error: unknown) => {
          giveUp.abort(givenUp(target, error))
          throw error
        })
        report(position, 'Pull complete')
      }
      return target
    },
  }
  try {
    await copyGraph(withRoot(source, remote), sink, remote.descriptor, { ...signalOf(options), blobsAtOnce: LAYERS_AT_ONCE })
  } catch (error) {
    // Whichever layer ends first: the one that failed tells more than those that were stopped because of it.
    throw giveUp.signal.aborted ? (giveUp.signal.reason as StrataError).cause : error
  }
  const { contentBytes } = await unpack.commit()
  checkTarSizes(manifest.layers, diffIds, stores)
  await small.commit()
  content.noteTogether(() => {
    for (const [position, layer] of manifest.layers.entries())
      noteLayer(content, layer, { diffId: diffIds[position]!, lease, repository: source.name })
  })
  if (whole.stored === undefined) await whole.write(streamOf(remote.bytes))
  await whole.commit(remote.descriptor, { lease })
  for (const [position, layer] of manifest.layers.entries()) if (isPlain(layer, diffIds[position]!)) content.discardIngest(layer.digest)
  return imageFacts(config, configBytes, { manifest: remote.descriptor, contentBytes })
}

/** A layer that comes as its tar is kept once, as the layer: its blob is derived from that. */
const isPlain = (layer: Descriptor, diffId: DiffId): boolean =>
  layerCompression(layer.mediaType) === 'none' && layer.digest === parseDigest(diffId)

/** A blob that is the layer's tar itself may be nowhere but in the layer store: no blob store has compared its size. */
function checkTarSizes(blobs: readonly Descriptor[], diffIds: readonly DiffId[], { layers }: TransferStores): void {
  for (const [position, blob] of blobs.entries()) {
    const layer = blob.digest === parseDigest(diffIds[position]!) ? layers.get(diffIds[position]!) : undefined
    if (layer !== undefined && layer.tarBytes !== blob.size) throw sizeMismatch(blob, layer.tarBytes)
  }
}

/** What is known now of a layer's blob: which layer it holds, and who has it. */
function noteLayer(
  content: DiskContentStore,
  layer: Descriptor,
  { diffId, lease, repository }: { readonly diffId: DiffId; readonly lease: Lease; readonly repository: string | undefined },
): void {
  if (isPlain(layer, diffId)) content.recordDerivable(layer, diffId, { lease })
  else content.setUncompressed(layer, diffId)
  if (repository !== undefined) content.addSource(layer.digest, repository)
}

const signalOf = ({ signal }: CallOptions): CallOptions => (signal === undefined ? {} : { signal })

type Report = (position: number, status: string, bytes?: { readonly current: number; readonly total: number }) => void

function layerReporter(layers: readonly Descriptor[], { onProgress }: CallOptions): Report {
  return (position, status, bytes) => onProgress?.({ id: digestHex(layers[position]!.digest).slice(0, 12), status, ...bytes })
}

interface LayerPullOptions {
  readonly unpack: ImageUnpack
  readonly small: BlobBatch
  readonly position: number
  readonly layer: Descriptor
  readonly report: Report
  readonly lease: Lease
  /** Gets the digests of what had been fetched in part, and was no part of it. */
  readonly damaged: Set<Digest>
  readonly signal: AbortSignal
}

/** Whether what arrived is no layer, or not the one that was expected; not so when it did not arrive, or the disk is full. */
function isAboutBytes(error: unknown): error is StrataError {
  if (isStrataError(error) && error.code === 'STRATA_REGISTRY_ANSWER') return false
  return (['dataLoss', 'invalidArgument', 'unsupported'] as const).some(kind => isStrataError(error, kind))
}

function givenUp({ digest }: Descriptor, cause: unknown): StrataError {
  return new StrataError('cancelled', 'STRATA_CANCELLED', `Cannot go on with the image: layer ${digest} did not come`, { cause })
}

function unusable({ digest }: Descriptor, cause: StrataError): StrataError {
  const { kind, code, message, hint } = cause
  return new StrataError(kind, code, `Cannot use layer ${digest}: ${message.replace(/^Cannot /, 'cannot ')}`, {
    cause,
    hint: hint ?? 'If the network or the registry has damaged it, pull again.',
  })
}

class LayerPull {
  readonly #source: ImageSource
  readonly #content: DiskContentStore
  readonly #options: LayerPullOptions

  constructor(source: ImageSource, content: DiskContentStore, options: LayerPullOptions) {
    this.#source = source
    this.#content = content
    this.#options = options
  }

  async run(diffId: DiffId): Promise<void> {
    const { layer, lease, position, signal, small, unpack } = this.#options
    const range = this.#source.rangeOf?.(layer)
    if (range !== undefined) {
      await this.#takeRange(range, diffId)
      return
    }
    if (layer.size <= SMALL_LAYER_BYTES && !isPlain(layer, diffId)) {
      // More than it should be is not too much for us, but a lie.
      const fetch = (): Promise<Uint8Array> => readAtMost(verified(this.#fetched(0), layer), SMALL_LAYER_BYTES)
      await this.#take(streamOf(await small.obtain(layer, fetch, { signal })), diffId)
      return
    }
    if (isPlain(layer, diffId) && unpack.isBottomUp) {
      await unpack.add(position, lent(this.#fetched(0)))
      return
    }
    await using ingest = await this.#content.ingest(layer.digest, { target: layer, signal })
    if (ingest.stored !== undefined || unpack.isBottomUp) {
      if (ingest.stored === undefined) {
        await ingest.write(lent(this.#fetched(ingest.size)))
        await ingest.commit(layer, { lease })
      }
      await this.#take(await this.#content.open(layer, { signal }), diffId)
      return
    }
    const before = ingest.size
    try {
      await this.#takeWhileItComes(ingest, diffId)
    } catch (error) {
      if (isAboutBytes(error) && before > 0) this.#options.damaged.add(layer.digest)
      throw error
    }
  }

  async #takeWhileItComes(ingest: Ingest, diffId: DiffId): Promise<void> {
    const { layer, lease } = this.#options
    const growing = ingest.growing()
    // Both must have let go of the file before the ingest is left.
    const [taken, written] = await Promise.allSettled([this.#takeGrowing(growing, diffId), ingest.write(lent(this.#fetched(ingest.size)))])
    if (taken.status === 'rejected' && isAboutBytes(taken.reason)) {
      // To go on from what is damaged would fail for ever.
      await ingest.discard()
      throw unusable(layer, taken.reason)
    }
    for (const outcome of [taken, written]) if (outcome.status === 'rejected') throw outcome.reason
    // A plain one is left where it is until its image is whole: the next pull takes it from there when this one is killed.
    if (!isPlain(layer, diffId)) await ingest.commit(layer, { lease })
  }

  /** A layer of an archive is read where it lies. */
  async #takeRange(range: Required<FileRange>, diffId: DiffId): Promise<void> {
    const { layer, lease, signal, unpack, position, report } = this.#options
    const total = range.end - range.start
    let current = 0
    const onRead = (bytes: number): void => report(position, 'Loading layer', { current: (current += bytes), total })
    if (unpack.missing.includes(position)) await unpack.add(position, range, onRead)
    else await verifyLayer(fileStream(range.path, range), diffId)
    if (!isPlain(layer, diffId)) await this.#content.put(layer, await this.#source.open(layer), { lease, signal })
    report(position, 'Loading layer', { current: total, total })
  }

  async #takeGrowing(growing: GrowingFile, diffId: DiffId): Promise<void> {
    try {
      await this.#take(growing, diffId)
    } finally {
      // Who fails before it reads stops the fetch as well.
      growing.stop()
    }
  }

  async #take(bytes: ByteStream | GrowingFile, diffId: DiffId): Promise<void> {
    const { unpack, position } = this.#options
    if (unpack.missing.includes(position)) await unpack.add(position, bytes)
    else await verifyLayer(bytes instanceof GrowingFile ? bytes.bytes() : bytes, diffId)
  }

  /** The blob from `start` on; not verified: whoever takes it does that. */
  async *#fetched(start: number): AsyncGenerator<Uint8Array> {
    const { layer, position, report, signal } = this.#options
    let current = start
    const source = this.#source
    const bytes = source.openUnverified?.(layer, { signal, start }) ?? source.open(layer, { signal, start })
    for await (const chunk of await bytes) {
      current += chunk.length
      report(position, 'Downloading', { current, total: layer.size })
      yield chunk
    }
    report(position, 'Download complete')
  }
}
