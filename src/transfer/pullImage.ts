import {
  type ByteStream,
  type CallOptions,
  GrowingFile,
  isStrataError,
  mapConcurrently,
  readAtMost,
  release,
  StrataError,
  streamOf,
} from '../base/index.ts'
import { type BlobBatch, type DiskContentStore, verified } from '../content/index.ts'
import { type ImageFacts, imageFacts, ImageUnpack, type UnpackStores, verifyLayer } from '../image/index.ts'
import type { Lease } from '../metadata/index.ts'
import { type Descriptor, type DiffId, digestHex, layerCompression, parseDigest } from '../oci/index.ts'
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
 * Rejects with `dataLoss` when bytes are not what digest or DiffId say; nothing of them is kept then.
 */
export async function pullImage(
  source: ImageSource,
  image: RemoteImage,
  stores: TransferStores,
  options: PullImageOptions,
): Promise<ImageFacts> {
  const { content } = stores
  const { remote, manifest, config, configBytes } = image
  const { lease, signal } = options
  lease.add(...[remote.descriptor, manifest.config, ...manifest.layers].map(({ digest }) => ({ kind: 'blob', id: digest })))
  // Who pulls the same image meanwhile waits here, and then finds it.
  await using whole = await content.ingest(remote.descriptor.digest, { target: remote.descriptor, ...signalOf(options) })
  await using small = content.batch({ lease })
  await small.add(manifest.config, configBytes)
  const diffIds = config.rootfs.diff_ids
  await using unpack = ImageUnpack.begin(diffIds, stores, { lease, ...signalOf(options) })
  const missing = new Set(unpack.missing)
  const report = layerReporter(manifest.layers, options)
  // A layer that came in another form is here without the blob that this manifest names.
  for (const [position, layer] of manifest.layers.entries())
    if (layer.digest !== parseDigest(diffIds[position]!) && !(await content.has(layer))) missing.add(position)
  for (const position of manifest.layers.keys()) report(position, missing.has(position) ? 'Pulling fs layer' : 'Already exists')
  const arriving = new Map<string, Promise<void>>()
  await mapConcurrently(missing, LAYERS_AT_ONCE, async (position, failed) => {
    const layer = manifest.layers[position]!
    // Two equal layers of one image are fetched once; the second is read from the store.
    await arriving.get(layer.digest)
    const pull = new LayerPull(source, stores.content, {
      unpack,
      small,
      position,
      layer,
      report,
      lease,
      signal: signal === undefined ? failed : AbortSignal.any([signal, failed]),
    })
    const pulled = pull.run(diffIds[position]!)
    arriving.set(layer.digest, pulled)
    await pulled
    report(position, 'Pull complete')
  })
  const { contentBytes } = await unpack.commit()
  await small.commit()
  content.noteTogether(() => {
    for (const [position, layer] of manifest.layers.entries())
      noteLayer(content, layer, { diffId: diffIds[position]!, lease, repository: source.name })
  })
  if (whole.stored === undefined) await whole.write(streamOf(remote.bytes))
  await whole.commit(remote.descriptor, { lease })
  return imageFacts(config, configBytes, { manifest: remote.descriptor, contentBytes })
}

/** What is known now of a layer's blob: which layer it holds, and who has it. One that is a plain tar is derived from the layer. */
function noteLayer(
  content: DiskContentStore,
  layer: Descriptor,
  { diffId, lease, repository }: { readonly diffId: DiffId; readonly lease: Lease; readonly repository: string | undefined },
): void {
  if (layer.digest === parseDigest(diffId)) content.recordDerivable(layer, diffId, { lease })
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
  readonly signal: AbortSignal
}

/** Whether what arrived is no layer, or not the one that was expected; not so when it did not arrive, or the disk is full. */
function isAboutBytes(error: unknown): error is StrataError {
  return (['dataLoss', 'invalidArgument', 'unsupported'] as const).some(kind => isStrataError(error, kind))
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
    const { layer, lease, signal, unpack, small, position } = this.#options
    // A plain tar is kept once, as the layer; its blob is derived from that.
    if (layerCompression(layer.mediaType) === 'none' && layer.digest === parseDigest(diffId)) {
      await unpack.add(position, lent(this.#fetched(0)))
      return
    }
    if (layer.size <= SMALL_LAYER_BYTES) {
      const bytes = await this.#small()
      await this.#take(streamOf(bytes), diffId)
      await small.add(layer, bytes)
      return
    }
    await using ingest = await this.#content.ingest(layer.digest, { target: layer, signal })
    if (ingest.stored !== undefined) {
      await this.#take(await this.#content.open(layer, { signal }), diffId)
      return
    }
    const growing = ingest.growing()
    // Both must have let go of the file before the ingest is left.
    const [taken, written] = await Promise.allSettled([this.#takeGrowing(growing, diffId), ingest.write(lent(this.#fetched(ingest.size)))])
    if (taken.status === 'rejected' && isAboutBytes(taken.reason)) {
      // To go on from what is damaged would fail for ever.
      await ingest.discard()
      throw unusable(layer, taken.reason)
    }
    for (const outcome of [taken, written]) if (outcome.status === 'rejected') throw outcome.reason
    await ingest.commit(layer, { lease })
  }

  /** The whole of a small layer, verified: what of it came before an interruption is not worth a file of its own. */
  async #small(): Promise<Buffer> {
    const { layer, signal, small } = this.#options
    const bytes =
      small.find(layer.digest) ??
      ((await this.#content.has(layer)) ? await this.#content.open(layer, { signal }) : verified(this.#fetched(0), layer))
    return readAtMost(bytes, SMALL_LAYER_BYTES)
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

/** For who has written a chunk, or copied it, when the next one is asked for. */
async function* lent(bytes: ByteStream): AsyncGenerator<Uint8Array> {
  for await (const chunk of bytes) {
    yield chunk
    release(chunk)
  }
}
