import { type CallOptions, readAtMost, StrataError } from '../base/index.ts'
import {
  type Digest,
  enterIndex,
  formatReference,
  type ImageIndex,
  type ImageManifest,
  isImageConfig,
  LIMITS,
  parseImageConfig,
  parseManifestOrIndex,
  parseReference,
  type Platform,
  type Reference,
  withDefaultTag,
} from '../oci/index.ts'
import { aliasedReference, connectRepository, type RemoteManifest, type Repository } from '../registry/index.ts'
import type { RemoteDocument } from './registries.ts'
import type { RegistryAccess } from './registryAccess.ts'

type RegistryCall = CallOptions & RegistryAccess

/** Lists the tags of a repository in its registry. */
export async function* listTags(text: string, options: RegistryCall): AsyncGenerator<string> {
  const asked = await meant(text, options)
  if (asked.tag !== undefined || asked.digest !== undefined) {
    throw new StrataError('invalidArgument', 'STRATA_TAG_WITH_ALL_TAGS', `Cannot list the tags of "${text}": it names one already`)
  }
  await using repository = await connectRepository(asked, { ...options, access: 'pull' })
  yield* repository.tags(options)
}

/** What a name stands for in its registry, as it is there. */
export async function remoteManifest(text: string, options: RegistryCall): Promise<RemoteDocument> {
  const { reference, repository } = await connect(text, options)
  await using _repository = repository
  return { reference: formatReference(reference), ...(await repository.manifest(tagOrDigestOf(reference), options)), isEntry: false }
}

/** The images that a name stands for in its registry: one, or those of an index, each fetched when it is asked for. */
export async function* remoteManifests(text: string, options: RegistryCall): AsyncGenerator<RemoteDocument> {
  const { reference, repository } = await connect(text, options)
  await using _repository = repository
  const { root, document, platform } = await repository.withoutLiars(async () => {
    const root = await repository.manifest(tagOrDigestOf(reference), options)
    const document = parseManifestOrIndex(root.bytes, root.descriptor.mediaType)
    const platform = document.kind === 'index' ? undefined : await platformOf(repository, document.manifest, options)
    return { root, document, platform }
  })
  if (document.kind === 'index') {
    const documents = new RemoteDocuments(repository, options)
    yield* entriesOf(document.index, enterIndex([], root.descriptor.digest), { reference, documents, entered: new Set() })
    return
  }
  const descriptor = platform === undefined ? root.descriptor : { ...root.descriptor, platform }
  yield { reference: formatReference(reference), descriptor, bytes: root.bytes, isEntry: false }
}

interface Place {
  readonly reference: Reference
  readonly repository: Repository
}

async function connect(text: string, options: RegistryCall): Promise<Place> {
  const reference = withDefaultTag(await meant(text, options))
  return { reference, repository: await connectRepository(reference, { ...options, access: 'pull' }) }
}

const tagOrDigestOf = ({ digest, tag }: Reference): string => digest ?? tag!

/** A short name may be an alias; see registries.conf. */
async function meant(text: string, options: RegistryCall): Promise<Reference> {
  return (await aliasedReference(text, options)) ?? parseReference(text)
}

/** What is named twice is asked for once, and all of it together is bounded as in a copy. */
class RemoteDocuments {
  readonly #repository: Repository
  readonly #options: CallOptions
  readonly #known = new Map<Digest, RemoteManifest>()
  #bytes = 0

  constructor(repository: Repository, options: CallOptions) {
    this.#repository = repository
    this.#options = options
  }

  async get(digest: Digest): Promise<RemoteManifest> {
    this.#options.signal?.throwIfAborted()
    const known = this.#known.get(digest)
    if (known !== undefined) return known
    const found = await this.#repository.manifest(digest, this.#options)
    this.#bytes += Math.max(found.bytes.length, LIMITS.graphDocumentBytes)
    if (this.#bytes > LIMITS.graphBytes) {
      const state = `the index names manifests of more than ${LIMITS.graphBytes} bytes together`
      throw new StrataError('resourceExhausted', 'STRATA_TOO_LARGE', `Cannot read manifest ${digest}: ${state}`)
    }
    this.#known.set(digest, found)
    return found
  }
}

interface Walk {
  readonly reference: Reference
  readonly documents: RemoteDocuments
  /** Indexes that the walk has been in. */
  readonly entered: Set<Digest>
}

/** The images of an index, also of those inside it. */
async function* entriesOf(index: ImageIndex, ancestors: readonly Digest[], walk: Walk): AsyncGenerator<RemoteDocument> {
  const { reference, documents, entered } = walk
  for (const entry of index.manifests) {
    if (entered.has(entry.digest)) continue
    const { bytes, descriptor } = await documents.get(entry.digest)
    const document = parseManifestOrIndex(bytes, descriptor.mediaType)
    if (document.kind === 'manifest') {
      yield { reference: formatReference({ ...reference, digest: entry.digest }), descriptor: entry, bytes, isEntry: true }
      continue
    }
    entered.add(entry.digest)
    yield* entriesOf(document.index, enterIndex(ancestors, entry.digest), walk)
  }
}

/** What the config of an image says; undefined for an artifact. */
async function platformOf(repository: Repository, { config }: ImageManifest, options: CallOptions): Promise<Platform | undefined> {
  if (!isImageConfig(config.mediaType)) return undefined
  const image = parseImageConfig(await readAtMost(await repository.open(config, options), LIMITS.configBytes, 'the image config'))
  const { architecture, os, variant } = image
  return {
    architecture,
    os,
    ...(image['os.version'] === undefined ? {} : { 'os.version': image['os.version'] }),
    ...(image['os.features'] === undefined ? {} : { 'os.features': image['os.features'] }),
    ...(variant === undefined ? {} : { variant }),
  }
}
