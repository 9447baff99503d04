import { type CallOptions, readAtMost, StrataError } from '../base/index.ts'
import {
  type Descriptor,
  type Digest,
  familiarName,
  type ImageManifest,
  isIndex,
  LIMITS,
  parseManifest,
  parseReference,
  withDefaultTag,
} from '../oci/index.ts'
import type { ArtifactSummary, ReferrerSummary } from './images.ts'
import type { RegistryAccess } from './registryAccess.ts'
import type { Stores } from './stores.ts'

/** The names that stand for artifacts. */
export async function listArtifacts(stores: Stores): Promise<readonly ArtifactSummary[]> {
  const found: ArtifactSummary[] = []
  for (const { name, root } of stores.images.roots()) {
    const reference = parseReference(name)
    if (isIndex(root.mediaType) || stores.images.named(reference) !== undefined) continue
    const manifest = await readManifest(stores, root)
    found.push({ name: familiarName(reference), digest: root.digest, artifactType: typeOf(manifest), sizeBytes: sizeOf(root, manifest) })
  }
  return found
}

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

const typeOf = ({ artifactType, config }: ImageManifest): string => artifactType ?? config.mediaType

const sizeOf = (root: Descriptor, { config, layers }: ImageManifest): number =>
  [root, config, ...layers].reduce((sum, { size }) => sum + size, 0)

async function readManifest(stores: Stores, target: Descriptor): Promise<ImageManifest> {
  const { mediaType, digest, size } = target
  const bytes = await readAtMost(await stores.content.open({ mediaType, digest, size }), LIMITS.manifestBytes, `manifest ${digest}`)
  return parseManifest(bytes, mediaType)
}
