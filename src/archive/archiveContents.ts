import { createHash } from 'node:crypto'
import { type ByteStream, type CallOptions, fileStream, readAtMost, streamOf } from '../base/index.ts'
import { compress } from '../compression/index.ts'
import type { BlobSource } from '../content/index.ts'
import {
  ANNOTATIONS,
  blobPath,
  checkIsImage,
  choosePlatform,
  type Descriptor,
  type Digest,
  digestAlgorithm,
  digestHex,
  familiarName,
  formatReference,
  IMAGE_LAYOUT,
  IMAGE_LAYOUT_VERSION,
  type ImageManifest,
  isAboutAnImage,
  isForeignLayer,
  isIndex,
  isManifest,
  layerCompression,
  type LayerCompression,
  LIMITS,
  MEDIA_TYPES,
  parseDigest,
  parseImageConfig,
  parseIndex,
  parseManifest,
  type Platform,
  type Reference,
} from '../oci/index.ts'
import { encodeTarHeader, TAR_END, type TarHeader, tarPadding } from '../tar/index.ts'
import { compressedType, type GraphRoot, type GraphSink } from '../transfer/index.ts'
import { DOCKER_MANIFEST } from './dockerArchive.ts'
import { openIfHad } from './imageSink.ts'
import { rootEntry } from './layoutDirectory.ts'
import { LEGACY_REPOSITORIES } from './legacyArchive.ts'
import { openScratchFile } from './scratchFile.ts'
import type { SinceMark } from './sinceMark.ts'

export interface ArchiveOptions {
  /** For layers that are plain tars. Their compressed forms are written to `scratch`, since an archive names them before they come. */
  readonly compression: LayerCompression
  /** An existing directory. */
  readonly scratch: string
  /** What the reader has already. */
  readonly since?: SinceMark
}

export interface ArchiveNames {
  /** Whole references. */
  readonly names: readonly Reference[]
  /** `org.opencontainers.image.ref.name` alone, for who names images in a layout by a tag. */
  readonly label?: string
}

interface NamedRoot extends ArchiveNames {
  readonly descriptor: Descriptor
}

/**
 * What goes into an archive: graphs are taken, roots get names, then the tar is written, each blob once and in the order of the
 * digests. The same graphs give the same bytes. Blobs are read when their turn in the tar comes.
 */
export class ArchiveContents implements GraphSink, AsyncDisposable {
  readonly #options: ArchiveOptions
  readonly #blobs = new Map<Digest, { readonly size: number; readonly open: () => Promise<ByteStream> }>()
  readonly #packed = new Map<Digest, Promise<Descriptor>>()
  readonly #roots: NamedRoot[] = []
  readonly #scratch = new AsyncDisposableStack()

  constructor(options: ArchiveOptions) {
    this.#options = options
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#scratch.disposeAsync()
  }

  async take(target: Descriptor, source: BlobSource, options: CallOptions): Promise<Descriptor> {
    if (this.#options.since?.absent.has(target.digest) === true) return target
    if (isManifest(target.mediaType) || isIndex(target.mediaType)) {
      this.#addBytes(target, await readAtMost(await source.open(target, options), LIMITS.indexBytes, `manifest ${target.digest}`))
      return target
    }
    if (this.#options.compression !== 'none' && layerCompression(target.mediaType) === 'none' && !isForeignLayer(target.mediaType)) {
      // Images share layers: one is compressed once.
      const packed = this.#packed.get(target.digest) ?? this.#compress(target, source, options)
      this.#packed.set(target.digest, packed)
      return { ...target, ...(await packed) }
    }
    if (isForeignLayer(target.mediaType)) {
      const bytes = await openIfHad(source, target, options)
      if (bytes === undefined) return target
      // Its turn comes later; a stream that was never begun would stay open.
      const reader = bytes[Symbol.asyncIterator]()
      await reader.next()
      await reader.return?.()
    }
    this.#blobs.set(target.digest, { size: target.size, open: () => source.open(target, options) })
    return target
  }

  /** Puts the top of a graph in, whose other parts were taken. */
  add({ descriptor, bytes }: GraphRoot, names: ArchiveNames): void {
    this.#addBytes(descriptor, bytes)
    this.#roots.push({ ...names, descriptor })
  }

  /**
   * The archive.
   *
   * @param format `docker-archive`: an OCI layout that also has docker's own files, as Docker writes since 25; `oci-archive`: the layout alone
   * @param platform which image of an index docker's own files name
   * Rejects with `unsupported` (STRATA_MANIFEST_NOT_AN_IMAGE) for an artifact in a docker-archive, before the first byte.
   */
  async *bytes(format: 'docker-archive' | 'oci-archive', platform: Platform): AsyncGenerator<Uint8Array> {
    const files: [string, unknown][] = [
      [IMAGE_LAYOUT.index, this.#index()],
      [IMAGE_LAYOUT.header, { imageLayoutVersion: IMAGE_LAYOUT_VERSION }],
    ]
    if (format === 'docker-archive') {
      const images: DockerItem[] = []
      for (const root of this.#roots) images.push(await this.#dockerItem(root, platform))
      files.push([DOCKER_MANIFEST, mergedItems(images)], [LEGACY_REPOSITORIES, legacyRepositories(images)])
    }
    yield* directory(`${IMAGE_LAYOUT.blobs}/`)
    const digests = [...this.#blobs.keys()].toSorted()
    for (const [position, digest] of digests.entries()) {
      const algorithm = digestAlgorithm(digest)
      if (position === 0 || digestAlgorithm(digests[position - 1]!) !== algorithm) yield* directory(`${IMAGE_LAYOUT.blobs}/${algorithm}/`)
      const blob = this.#blobs.get(digest)!
      yield* member(blobPath(digest), blob.size, await blob.open())
    }
    for (const [name, value] of files.toSorted(([a], [b]) => (a < b ? -1 : 1))) {
      const bytes = Buffer.from(JSON.stringify(value))
      yield* member(name, bytes.length, [bytes])
    }
    yield TAR_END
  }

  #addBytes({ digest }: Descriptor, bytes: Buffer): void {
    this.#blobs.set(digest, { size: bytes.length, open: async () => streamOf(bytes) })
  }

  async #compress(layer: Descriptor, source: BlobSource, options: CallOptions): Promise<Descriptor> {
    const { compression, scratch } = this.#options
    const file = this.#scratch.use(await openScratchFile(scratch))
    const sha = createHash('sha256')
    let size = 0
    for await (const chunk of compress(await source.open(layer, options), compression)) {
      sha.update(chunk)
      size += chunk.length
      await file.write(chunk)
    }
    const digest = parseDigest(`sha256:${sha.digest('hex')}`)
    this.#blobs.set(digest, { size, open: async () => fileStream(file.path) })
    return { mediaType: compressedType(layer.mediaType, compression), digest, size }
  }

  #index(): object {
    const { since } = this.#options
    return {
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.index,
      manifests: this.#roots.flatMap(({ descriptor, names, label }) => {
        if (names.length === 0) return [rootEntry(descriptor, label === undefined ? undefined : { [ANNOTATIONS.refName]: label })]
        return names.map(name =>
          rootEntry(descriptor, { [ANNOTATIONS.containerdName]: formatReference(name), [ANNOTATIONS.refName]: name.tag ?? '' }),
        )
      }),
      ...(since === undefined ? {} : { annotations: since.annotations() }),
    }
  }

  async #dockerItem({ descriptor, names }: NamedRoot, platform: Platform): Promise<DockerItem> {
    const chosen = await this.#imageOf(descriptor, platform)
    const manifest = parseManifest(await this.#read(chosen.digest), chosen.mediaType)
    checkIsImage(manifest)
    const config = parseImageConfig(await this.#read(manifest.config.digest))
    return { names, manifest, diffIds: config.rootfs.diff_ids }
  }

  /** Docker's own files have one platform of an image. */
  async #imageOf(target: Descriptor, platform: Platform): Promise<Descriptor> {
    if (!isIndex(target.mediaType)) return target
    const { manifests } = parseIndex(await this.#read(target.digest), target.mediaType)
    const images = manifests.filter(entry => !isAboutAnImage(entry) && this.#blobs.has(entry.digest))
    const chosen = choosePlatform(images, platform) ?? images[0]
    return chosen === undefined ? target : this.#imageOf(chosen, platform)
  }

  async #read(digest: Digest): Promise<Buffer> {
    return readAtMost(await this.#blobs.get(digest)!.open(), LIMITS.indexBytes, `blob ${digest}`)
  }
}

interface DockerItem {
  readonly names: readonly Reference[]
  readonly manifest: ImageManifest
  readonly diffIds: readonly string[]
}

/** An image that is there under several roots is listed once, with all its names. */
function mergedItems(items: readonly DockerItem[]): readonly object[] {
  const byImage = Map.groupBy(items, ({ manifest }) => JSON.stringify(manifest))
  return [...byImage.values()].map(same => {
    const { manifest, diffIds } = same[0]!
    const names = same.flatMap(({ names }) => names.map(familiarName))
    return {
      Config: blobPath(manifest.config.digest),
      RepoTags: names.length === 0 ? null : names,
      Layers: manifest.layers.map(layer => blobPath(layer.digest)),
      LayerSources: Object.fromEntries(
        manifest.layers.map(({ mediaType, size, digest }, index) => [diffIds[index], { mediaType, size, digest }]),
      ),
    }
  })
}

function legacyRepositories(images: readonly DockerItem[]): object {
  const repositories: Record<string, Record<string, string>> = {}
  for (const { names, manifest } of images) {
    const top = manifest.layers.at(-1)
    for (const name of names) {
      const repository = familiarName({ domain: name.domain, path: name.path })
      ;(repositories[repository] ??= {})[name.tag ?? 'latest'] = top === undefined ? '' : digestHex(top.digest)
    }
  }
  return repositories
}

const HEADER = {
  linkPath: '',
  uid: 0,
  gid: 0,
  userName: '',
  groupName: '',
  modifiedAt: { seconds: 0, nanoseconds: 0 },
  xattrs: new Map<string, Uint8Array>(),
} satisfies Partial<TarHeader>

function* directory(path: string): Generator<Uint8Array> {
  yield encodeTarHeader({ ...HEADER, type: 'directory', path, mode: 0o755, size: 0 })
}

async function* member(path: string, size: number, bytes: ByteStream | Iterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield encodeTarHeader({ ...HEADER, type: 'file', path, mode: 0o644, size })
  yield* bytes
  yield tarPadding(size)
}
