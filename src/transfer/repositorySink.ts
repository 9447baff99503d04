import { type ByteStream, type CallOptions, observed } from '../base/index.ts'
import { compress } from '../compression/index.ts'
import type { BlobSource, DiskContentStore } from '../content/index.ts'
import {
  type Descriptor,
  digestHex,
  type Digest,
  isForeignLayer,
  isIndex,
  isManifest,
  layerCompression,
  type LayerCompression,
} from '../oci/index.ts'
import type { Repository } from '../registry/index.ts'
import { compressedType } from './compressedType.ts'
import type { GraphSink } from './copyGraph.ts'
import { reportSkipped } from './foreignLayer.ts'

export interface RepositorySinkOptions {
  /** For layers that are plain tars; `none` sends them as they are. */
  readonly compression: LayerCompression
  /** What is known of blobs, and where what is learnt is noted. Without it nothing is compressed. */
  readonly content?: DiskContentStore
  /** Repositories (`host/path`) that have what is copied: of the same registry, blobs are mounted from them. */
  readonly neighbours?: readonly string[]
}

/**
 * A repository as the place where a graph goes: what the registry has is not sent. Layers that arrived compressed go as
 * they came, and one that was broken off goes on where it stopped; one that was made here is compressed on its way, from
 * its beginning each time, and its compressed digest is remembered, so that another push to where it is sends nothing.
 */
export class RepositorySink implements GraphSink {
  readonly #repository: Repository
  readonly #options: RepositorySinkOptions

  constructor(repository: Repository, options: RepositorySinkOptions) {
    this.#repository = repository
    this.#options = options
  }

  async take(target: Descriptor, source: BlobSource, options: CallOptions): Promise<Descriptor> {
    if (isManifest(target.mediaType) || isIndex(target.mediaType)) {
      await this.#repository.put(target, source, options)
      return target
    }
    if (layerCompression(target.mediaType) === undefined) return this.#takeOther(target, source, options)
    const layer = await this.#takeLayer(target, source, options)
    this.#options.content?.addSource(layer.digest, this.#repository.name)
    return layer
  }

  /** Configs, and the blobs of artifacts. */
  async #takeOther(target: Descriptor, source: BlobSource, options: CallOptions): Promise<Descriptor> {
    if (await this.#repository.has(target, options)) return target
    const from = await this.#mount(target, options)
    if (from === undefined) await this.#repository.put(target, source, options)
    else options.onProgress?.({ id: digestHex(target.digest).slice(0, 12), status: `Mounted from ${from}` })
    return target
  }

  async #takeLayer(layer: Descriptor, source: BlobSource, options: CallOptions): Promise<Descriptor> {
    if (isForeignLayer(layer.mediaType)) {
      reportSkipped(layer, options)
      return layer
    }
    const report = (status: string, bytes?: { readonly current: number; readonly total: number }): void =>
      options.onProgress?.({ id: digestHex(layer.digest).slice(0, 12), status, ...bytes })
    report('Preparing')
    for (const form of this.#forms(layer)) {
      if (await this.#repository.has(form, options)) {
        report('Layer already exists')
        return form
      }
      const from = await this.#mount(form, options)
      if (from !== undefined) {
        report(`Mounted from ${from}`)
        return form
      }
    }
    const read = counted(source, current => report('Pushing', { current, total: layer.size }))
    const pushed = this.#isCompressed(layer) ? await this.#putCompressed(layer, read, options) : await this.#putAsIs(layer, read, options)
    report('Pushed')
    return pushed
  }

  /** What was compressed before may be there already, under a digest that is known. */
  #forms(layer: Descriptor): readonly Descriptor[] {
    const { content, compression } = this.#options
    if (!this.#isCompressed(layer)) return [layer]
    const diffId = content?.diffIdOf(layer.digest)
    const wanted = compressedType(layer.mediaType, compression)
    if (content === undefined || diffId === undefined) return []
    // Some manifest may have called the plain tar a compressed one.
    const others = content.blobsOf(diffId).filter(form => form.digest !== layer.digest)
    const forms = others.filter(form => layerCompression(form.mediaType) === compression)
    return forms.map(form => ({ ...form, mediaType: wanted }))
  }

  /** Whether a layer is compressed on its way. */
  #isCompressed(layer: Descriptor): boolean {
    return this.#options.content !== undefined && this.#options.compression !== 'none' && layerCompression(layer.mediaType) === 'none'
  }

  async #putAsIs(layer: Descriptor, source: BlobSource, options: CallOptions): Promise<Descriptor> {
    const uploads = this.#options.content?.uploadsTo(this.#repository.name)
    await this.#repository.put(layer, source, uploads === undefined ? options : { ...options, uploads })
    return layer
  }

  /** One that breaks is begun anew: another version of a compressor may make other bytes. */
  async #putCompressed(layer: Descriptor, source: BlobSource, options: CallOptions): Promise<Descriptor> {
    const { content, compression } = this.#options
    const open = async (): Promise<ByteStream> => compress(await source.open(layer, options), compression)
    const pushed = await this.#repository.putUnknown(compressedType(layer.mediaType, compression), open, options)
    const diffId = content?.diffIdOf(layer.digest)
    if (diffId !== undefined) content?.setUncompressed(pushed, diffId)
    return pushed
  }

  /** The neighbour that the registry took the blob from without its bytes being sent. */
  async #mount({ digest }: Descriptor, options: CallOptions): Promise<string | undefined> {
    for (const source of this.#neighboursOf(digest)) {
      if (await this.#repository.mountFrom(source, digest, options)) return source.slice(source.indexOf('/') + 1)
    }
    return undefined
  }

  #neighboursOf(digest: Digest): ReadonlySet<string> {
    return new Set([...(this.#options.neighbours ?? []), ...(this.#options.content?.sources(digest) ?? [])])
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
