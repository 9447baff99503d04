import { type ByteStream, isStrataError, readAtMost } from '../base/index.ts'
import type { BlobInfo, OpenOptions } from '../content/index.ts'
import type { Lease } from '../metadata/index.ts'
import {
  type Descriptor,
  type Digest,
  isForeignLayer,
  isIndex,
  isManifest,
  LIMITS,
  type ManifestDocument,
  parseManifestOrIndex,
} from '../oci/index.ts'
import type { ImageSource } from '../transfer/index.ts'
import type { ServedStores } from './options.ts'
import { RegistryError } from './registryError.ts'
import type { Repositories } from './repositories.ts'

interface PushedGraphOptions {
  readonly stores: ServedStores
  readonly repositories: Repositories
  /** The repository to which it is pushed. */
  readonly name: string
  /** Holds everything before it is looked for. */
  readonly lease: Lease
}

/**
 * All that a pushed document names, directly or not. It must have been pushed to the same repository: else it would open
 * others' content to whoever knows a digest. What unpacks the image reads through it, and so gets at nothing else.
 */
export class PushedGraph implements ImageSource {
  readonly #document: ManifestDocument
  readonly #options: PushedGraphOptions
  readonly #digests: Set<Digest>

  constructor(root: Descriptor, document: ManifestDocument, options: PushedGraphOptions) {
    this.#document = document
    this.#options = options
    this.#digests = new Set([root.digest])
  }

  /** Rejects with a RegistryError when something is not in the repository, is damaged, or is not what is said of it. */
  async check(): Promise<void> {
    const entered = new Set<Digest>()
    const indexed = await this.#checkChildren(this.#document)
    // It grows while it is walked.
    for (const blob of indexed) {
      if (entered.has(blob.digest)) continue
      entered.add(blob.digest)
      const document = await this.#documentIn(blob)
      if (document !== undefined) indexed.push(...(await this.#checkChildren(document)))
    }
  }

  async open(target: Descriptor, options?: OpenOptions): Promise<ByteStream> {
    if (!this.#digests.has(target.digest)) throw notHere(target)
    return this.#options.stores.content.open(target, options)
  }

  /** Resolves with what may name more: a manifest's blobs are never documents, whatever their bytes are. */
  async #checkChildren(document: ManifestDocument): Promise<BlobInfo[]> {
    const children = childrenOf(document)
    this.#options.lease.add(...children.map(({ digest }) => ({ kind: 'blob' as const, id: digest })))
    const blobs: BlobInfo[] = []
    for (const child of children) {
      const blob = await this.#checkChild(child)
      if (document.kind === 'index') blobs.push(blob)
    }
    return blobs
  }

  async #checkChild(child: Descriptor): Promise<BlobInfo> {
    const { name, repositories, stores } = this.#options
    const blob = repositories.reaches(name, child.digest) ? await stores.content.stat(child.digest) : undefined
    if (blob === undefined || blob.state === 'damaged' || blob.state === 'refetchable') throw notHere(child)
    // What came as a blob is no manifest: nobody has looked at what it names.
    if (isDocument(child) && !isDocument(blob)) throw notHere(child)
    if (blob.size !== child.size)
      throw new RegistryError('MANIFEST_INVALID', 'the manifest gives a blob another size', { detail: { digest: child.digest } })
    this.#digests.add(child.digest)
    return blob
  }

  /** An entry of an index that came as a blob may be a manifest elsewhere, or become one, and then it names the same things. */
  async #documentIn(blob: BlobInfo): Promise<ManifestDocument | undefined> {
    if (blob.size > Math.max(LIMITS.manifestBytes, LIMITS.indexBytes)) return undefined
    const bytes = await readAtMost(await this.#options.stores.content.open(blob), blob.size)
    try {
      return parseManifestOrIndex(bytes, isDocument(blob) ? blob.mediaType : undefined)
    } catch (error) {
      if (!isDocument(blob) && isStrataError(error)) return undefined
      throw error
    }
  }
}

/** What a document names and what must be there; foreign layers are elsewhere. */
export function childrenOf(document: ManifestDocument): readonly Descriptor[] {
  if (document.kind === 'index') return document.index.manifests
  return [document.manifest.config, ...document.manifest.layers.filter(({ mediaType }) => !isForeignLayer(mediaType))]
}

const isDocument = ({ mediaType }: { readonly mediaType: string }): boolean => isManifest(mediaType) || isIndex(mediaType)

const notHere = ({ digest }: Descriptor): RegistryError =>
  new RegistryError('MANIFEST_BLOB_UNKNOWN', 'the manifest names what is not in this repository', { detail: { digest } })
