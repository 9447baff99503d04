import { type CallOptions, isStrataError, readAtMost } from '../base/index.ts'
import type { ImageRecord } from '../image/index.ts'
import { type Descriptor, type Digest, familiarName, isManifest, LIMITS, parseReference, type Reference } from '../oci/index.ts'
import { maySign, type Signature, signatureTag } from '../signature/index.ts'
import type { SignatureManifest } from '../transfer/index.ts'
import { isPolicyRejection, type PolicyFile } from './policyFile.ts'
import type { Stores } from './stores.ts'
import { checkTrust, registryImage, type TrustQuestion, UNSIGNED } from './trust.ts'

export interface StoredImage extends CallOptions {
  readonly image: ImageRecord
  /** How people mean it: a name, an id, a prefix of one. */
  readonly text: string
}

/**
 * Resolves when the policy allows an image that is here, under the name by which it is meant; one that is meant by its id
 * when it is allowed under one of its names. What came from a registry is judged as if it came now, by the signatures
 * that came along; what was made here is of the transport `containers-storage`.
 *
 * Rejects as checkTrust does.
 */
export async function checkStoredTrust(stores: Stores, policy: PolicyFile, { image, text, signal }: StoredImage): Promise<void> {
  const asked = stores.images.nameMeant(text)
  const origins = stores.images.originsOf(image.manifest.digest)
  if (origins.length === 0) {
    await checkTrust(policy, await madeHere(stores, image, asked))
    return
  }
  const digests = [...new Set([image.manifest.digest, ...indexesOf(stores, image), ...origins.map(({ given }) => given)])]
  const given = origins.map(origin => parseReference(`${origin.repository}@${origin.given}`))
  const names = asked === undefined ? [...image.names.map(each => parseReference(each)), ...given] : [asked]
  const rejections: unknown[] = []
  for (const name of names) {
    // What one repository has is enough, or not: so nobody's many signatures hinder others.
    for (const repository of stores.images.repositoriesAbout(image.manifest.digest, name)) {
      try {
        const signatures = keptSignatures(stores, name, { digests, repository, signal })
        await checkTrust(policy, { ...registryImage(name, digests, signatures), hint: HINT })
        return
      } catch (error) {
        if (!isPolicyRejection(error) && !isTooMany(error)) throw error
        rejections.push(error)
      }
    }
  }
  throw rejections[0]
}

const HINT = 'Signatures come along when an image is pulled: if it has been signed since, pull it again.'

const isTooMany = (error: unknown): boolean => isStrataError(error) && error.code === 'STRATA_TOO_MANY_SIGNATURES'

/** The indexes that are kept with this image in them. */
function indexesOf({ images }: Stores, { manifest, isPartOfIndex }: ImageRecord): readonly Digest[] {
  if (!isPartOfIndex) return []
  const kept = images.roots().filter(({ root }) => images.imagesOf(root.digest).some(part => part.manifest.digest === manifest.digest))
  return kept.map(({ root }) => root.digest)
}

async function madeHere(stores: Stores, image: ImageRecord, asked: Reference | undefined): Promise<TrustQuestion> {
  const driver = (await stores.snapshots())?.driverName ?? 'none'
  return {
    name: asked === undefined ? image.id : familiarName(asked),
    place: { transport: 'containers-storage', driver, root: stores.root, meant: asked ?? image.id },
    ...UNSIGNED,
  }
}

interface KeptOptions {
  readonly digests: readonly Digest[]
  /** Where they were. */
  readonly repository: string
  readonly signal: AbortSignal | undefined
}

/** The signatures that are here: those that came along, and those that were brought here by their tag. */
function keptSignatures(stores: Stores, name: Reference, { digests, repository, signal }: KeptOptions): AsyncIterable<Signature> {
  const options = signal === undefined ? {} : { signal }
  const kept = digests.flatMap(digest => [
    ...stores.images
      .referrersOf(digest, [repository])
      .flatMap(({ descriptor, tag }) => (tag !== undefined || maySign(descriptor) ? [descriptor] : [])),
    ...taggedSignatures(stores, name, digest),
  ])
  return {
    async *[Symbol.asyncIterator]() {
      const { readSignatures } = await import('../transfer/index.ts')
      yield* readSignatures(stores.content, manifestsOf(stores, kept, options), options)
    },
  }
}

function taggedSignatures({ images }: Stores, { domain, path }: Reference, digest: Digest): readonly Descriptor[] {
  const tag = signatureTag(digest)
  const root = tag === undefined ? undefined : images.rootOf({ domain, path, tag })
  return root === undefined ? [] : [root]
}

async function* manifestsOf(stores: Stores, descriptors: readonly Descriptor[], options: CallOptions): AsyncGenerator<SignatureManifest> {
  for (const descriptor of descriptors) {
    // What was said about an index of which one image is here is not always held.
    if (!isManifest(descriptor.mediaType) || !(await stores.content.has(descriptor))) continue
    const bytes = await readAtMost(await stores.content.open(descriptor, options), LIMITS.manifestBytes, `signature ${descriptor.digest}`)
    yield { descriptor, bytes }
  }
}
