import { type ByteStream, type CallOptions, mapConcurrently, observed, readAtMost } from '../base/index.ts'
import { compress } from '../compression/index.ts'
import type { BlobSource, DiskContentStore } from '../content/index.ts'
import {
  type Descriptor,
  describeBytes,
  type DiffId,
  digestHex,
  type ImageManifest,
  isForeignLayer,
  layerCompression,
  type LayerCompression,
  LIMITS,
  MEDIA_TYPES,
  parseManifest,
} from '../oci/index.ts'
import type { RemoteManifest, Repository } from '../registry/index.ts'

export interface PushImageOptions extends CallOptions {
  readonly tag: string
  /** For layers that were made here and have no compressed form yet. */
  readonly compression: LayerCompression
}

export interface ImageToPush {
  readonly manifest: Descriptor
  readonly diffIds: readonly DiffId[]
}

const LAYERS_AT_ONCE = 5

/**
 * Sends an image to a repository: what the registry lacks of it, and the tag last. Layers that arrived
 * compressed go as they came, so a pulled image keeps its digest, and one that was broken off goes on where it stopped; a
 * layer that was made here is compressed on its way, from its beginning each time, and its compressed digest is remembered,
 * so that another push to where it is sends nothing.
 *
 * Resolves with the manifest as it was pushed.
 */
export async function pushImage(
  repository: Repository,
  image: ImageToPush,
  content: DiskContentStore,
  options: PushImageOptions,
): Promise<RemoteManifest> {
  const bytes = await readAtMost(await content.open(image.manifest, options), LIMITS.manifestBytes, 'the manifest')
  const manifest = parseManifest(bytes, image.manifest.mediaType)
  const layers = await mapConcurrently(manifest.layers.entries(), LAYERS_AT_ONCE, async ([position, layer], failed) => {
    const signal = options.signal === undefined ? failed : AbortSignal.any([options.signal, failed])
    return new LayerPush(repository, content, { ...options, signal }).run(layer, image.diffIds[position]!)
  })
  if (!(await repository.has(manifest.config, options))) await repository.put(manifest.config, content, options)
  const pushed = withLayers({ descriptor: image.manifest, bytes }, manifest, layers)
  await repository.putManifest(options.tag, pushed, options)
  for (const layer of layers) content.addSource(layer.digest, repository.name)
  return pushed
}

/** The manifest byte for byte where its layers went as they are; else a new one, the same but for the layers. */
function withLayers(own: RemoteManifest, manifest: ImageManifest, layers: readonly Descriptor[]): RemoteManifest {
  if (layers.every((layer, position) => layer.digest === manifest.layers[position]!.digest)) return own
  const bytes = Buffer.from(JSON.stringify({ ...manifest, layers }))
  return { descriptor: describeBytes(manifest.mediaType, bytes), bytes }
}

const COMPRESSED_TYPES = { none: MEDIA_TYPES.layer, gzip: MEDIA_TYPES.layerGzip, zstd: MEDIA_TYPES.layerZstd } as const

class LayerPush {
  readonly #repository: Repository
  readonly #content: DiskContentStore
  readonly #options: PushImageOptions

  constructor(repository: Repository, content: DiskContentStore, options: PushImageOptions) {
    this.#repository = repository
    this.#content = content
    this.#options = options
  }

  async run(layer: Descriptor, diffId: DiffId): Promise<Descriptor> {
    if (isForeignLayer(layer.mediaType)) return layer
    const { compression } = this.#options
    const report = (status: string, bytes?: { readonly current: number; readonly total: number }): void =>
      this.#options.onProgress?.({ id: digestHex(layer.digest).slice(0, 12), status, ...bytes })
    report('Preparing')
    const isPlain = layerCompression(layer.mediaType) === 'none'
    // What was compressed before may be there already, under a digest that is known.
    const forms =
      isPlain && compression !== 'none'
        ? this.#content.blobsOf(diffId).filter(form => layerCompression(form.mediaType) === compression)
        : [layer]
    for (const form of forms) {
      if (await this.#repository.has(form, this.#options)) {
        report('Layer already exists')
        return form
      }
      const from = await this.#mount(form)
      if (from !== undefined) {
        report(`Mounted from ${from}`)
        return form
      }
    }
    const source = counted(this.#content, current => report('Pushing', { current, total: layer.size }))
    const pushed =
      isPlain && compression !== 'none' ? await this.#pushCompressed(layer, source, diffId) : await this.#pushAsIs(layer, source)
    report('Pushed')
    return pushed
  }

  async #pushAsIs(layer: Descriptor, source: BlobSource): Promise<Descriptor> {
    const uploads = this.#content.uploadsTo(this.#repository.name)
    await this.#repository.put(layer, source, { ...this.#options, uploads })
    return layer
  }

  /** One that breaks is begun anew: another version of a compressor may make other bytes. */
  async #pushCompressed(layer: Descriptor, source: BlobSource, diffId: DiffId): Promise<Descriptor> {
    const { compression } = this.#options
    const open = async (): Promise<ByteStream> => compress(await source.open(layer, this.#options), compression)
    const pushed = await this.#repository.putUnknown(COMPRESSED_TYPES[compression], open, this.#options)
    this.#content.setUncompressed(pushed, diffId)
    return pushed
  }

  /** The neighbour that the registry took the blob from without its bytes being sent. */
  async #mount(layer: Descriptor): Promise<string | undefined> {
    for (const source of this.#content.sources(layer.digest)) {
      if (await this.#repository.mountFrom(source, layer.digest, this.#options)) return source.slice(source.indexOf('/') + 1)
    }
    return undefined
  }
}

/** A source that tells how far it has been read. */
function counted(source: BlobSource, report: (current: number) => void): BlobSource {
  return {
    async open(target, options) {
      let current = options?.start ?? 0
      return observed(await source.open(target, options), chunk => report((current += chunk.length)))
    },
  }
}
