import { type CallOptions, readAtMost, StrataError } from '../base/index.ts'
import {
  type Descriptor,
  type Digest,
  familiarName,
  type ImageManifest,
  isImageConfig,
  isIndex,
  layerCompression,
  LIMITS,
  MEDIA_TYPES,
  parseIndex,
  parseManifest,
  parseReference,
  withDefaultTag,
} from '../oci/index.ts'
import type { ArtifactSummary, ReferrerSummary } from './images.ts'
import type { RegistryAccess } from './registryAccess.ts'
import type { Stores } from './stores.ts'
import { reachedFrom, untaggedRoots } from './untaggedRoots.ts'

/** What is kept and is no image: by its names, or by its digest where no tag leads to it. What a cache has is none of it. */
export async function listArtifacts(stores: Stores): Promise<readonly ArtifactSummary[]> {
  const { images } = stores
  const found: ArtifactSummary[] = []
  const untagged = new Set(untaggedRoots(stores).map(({ name }) => name))
  for (const { name, root, isCached } of images.keptRoots()) {
    const reference = parseReference(name)
    const isListed = reference.digest === undefined ? images.named(reference) === undefined : untagged.has(name)
    if (isCached || !isListed) continue
    const facts = isIndex(root.mediaType) ? await indexFacts(stores, root) : manifestFacts(root, await readManifest(stores, root))
    found.push({ name: familiarName(reference), digest: root.digest, ...facts })
  }
  return found
}

type ArtifactFacts = Pick<ArtifactSummary, 'artifactType' | 'sizeBytes'>

/** An index of images says nothing more than that it is one. */
async function indexFacts(stores: Stores, root: Descriptor): Promise<ArtifactFacts> {
  const { artifactType } = parseIndex(await readDocument(stores, root, LIMITS.indexBytes), root.mediaType)
  let sizeBytes = 0
  for (const digest of reachedFrom(stores, [root.digest])) sizeBytes += (await stores.content.stat(digest))?.size ?? 0
  return { artifactType: artifactType ?? root.mediaType, sizeBytes }
}

const manifestFacts = (root: Descriptor, manifest: ImageManifest): ArtifactFacts => ({
  artifactType: typeOf(manifest),
  sizeBytes: sizeOf(root, manifest),
})

/** What is said about what a name stands for, here or in its registry. */
export async function listReferrers(
  stores: Stores,
  text: string,
  options: CallOptions & { readonly remote?: boolean } & RegistryAccess,
): Promise<readonly ReferrerSummary[]> {
  return options.remote === true ? listRemote(text, options) : listHere(stores, text)
}

async function listHere(stores: Stores, text: string): Promise<readonly ReferrerSummary[]> {
  const { images } = stores
  const name = images.nameMeant(text)
  const root = name === undefined ? images.resolve(text).manifest : images.rootOf(name)!
  const image = name === undefined ? undefined : images.named(name)
  const digests = image === undefined ? [] : images.originsOf(image.manifest.digest).map(({ given }) => given)
  const repositories = images.repositoriesAbout(root.digest, name)
  const found: ReferrerSummary[] = []
  const subjects = new Set([root.digest, ...images.imagesOf(root.digest).map(({ manifest }) => manifest.digest), ...digests])
  for (const subject of subjects) {
    for (const { descriptor, tag } of images.referrersOf(subject, repositories)) {
      subjects.add(descriptor.digest)
      found.push(summaryOf(subject, descriptor, { manifest: await readManifest(stores, descriptor), tag }))
    }
  }
  return found
}

async function listRemote(text: string, options: CallOptions & RegistryAccess): Promise<readonly ReferrerSummary[]> {
  const reference = withDefaultTag(parseReference(text))
  const { connectRepository } = await import('../registry/index.ts')
  const { referrersOf } = await import('../transfer/index.ts')
  await using repository = await connectRepository(reference, { ...options, access: 'pull' })
  const { descriptor: root } = await repository.manifest(reference.digest ?? reference.tag!, options)
  const found: ReferrerSummary[] = []
  const subjects = new Set<Digest>([root.digest])
  for (const subject of subjects) {
    for await (const { descriptor, bytes, tag } of referrersOf(repository, subject, options)) {
      subjects.add(descriptor.digest)
      found.push(summaryOf(subject, descriptor, { manifest: parseManifest(bytes, descriptor.mediaType), tag }))
      if (subjects.size > LIMITS.indexEntries)
        throw new StrataError('resourceExhausted', 'STRATA_TOO_LARGE', `Cannot list what refers to "${text}": there is too much`)
    }
  }
  return found
}

function summaryOf(
  subject: Digest,
  descriptor: Descriptor,
  { manifest, tag }: { readonly manifest: ImageManifest; readonly tag: string | undefined },
): ReferrerSummary {
  return {
    digest: descriptor.digest,
    subject,
    artifactType: typeOf(manifest),
    sizeBytes: sizeOf(descriptor, manifest),
    annotations: descriptor.annotations ?? manifest.annotations ?? {},
    ...(tag === undefined ? {} : { tag }),
  }
}

/** What an artifact calls itself; where it only has the config of an image, or an empty one, its first blob says what it is. */
function typeOf({ artifactType, config, layers }: ImageManifest): string {
  if (artifactType !== undefined) return artifactType
  const [first] = layers
  const saysNothing = isImageConfig(config.mediaType) || config.mediaType === MEDIA_TYPES.empty
  return saysNothing && first !== undefined && layerCompression(first.mediaType) === undefined ? first.mediaType : config.mediaType
}

const sizeOf = (root: Descriptor, { config, layers }: ImageManifest): number =>
  [root, config, ...layers].reduce((sum, { size }) => sum + size, 0)

async function readManifest(stores: Stores, target: Descriptor): Promise<ImageManifest> {
  return parseManifest(await readDocument(stores, target, LIMITS.manifestBytes), target.mediaType)
}

async function readDocument(stores: Stores, { mediaType, digest, size }: Descriptor, limit: number): Promise<Uint8Array> {
  return readAtMost(await stores.content.open({ mediaType, digest, size }), limit, `manifest ${digest}`)
}
