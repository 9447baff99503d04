import { type ByteStream, type CallOptions, isStrataError, readAtMost, StrataError } from '../base/index.ts'
import type { ImageRecord } from '../image/index.ts'
import type { Lease } from '../metadata/index.ts'
import { familiarName, formatReference, LIMITS, parseManifest, parseReference, type Reference, withDefaultTag } from '../oci/index.ts'
import { requirePlatform } from './imagePlatform.ts'
import type { PushedTag, PushOptions, SaveOptions } from './images.ts'
import type { RegistryAccess } from './registryAccess.ts'
import type { Stores } from './stores.ts'

/** Pushes one tag, or all that a repository has here. */
export async function pushImages(
  stores: Stores,
  text: string,
  options: PushOptions & CallOptions & RegistryAccess,
): Promise<readonly PushedTag[]> {
  const asked = parseReference(text)
  const references = options.allTags === true ? tagsOf(stores, asked) : [withDefaultTag(asked)]
  if (references.length === 0) throw new StrataError('notFound', 'STRATA_NO_SUCH_IMAGE', `Cannot push "${text}": it has no tags here`)
  const images = references.map(reference => ({ reference, image: stores.images.named(reference) ?? stores.images.resolve(text) }))
  for (const { image } of images) await requirePlatform(stores, image, { text, wanted: options.platform })
  const { connectRepository } = await import('../registry/index.ts')
  const { pushImage } = await import('../transfer/index.ts')
  const { signal, onProgress } = options
  await using repository = await connectRepository(asked, { ...options, access: 'push' })
  onProgress?.({ id: '', status: `The push refers to repository [${repository.name}]` })
  // The layer store is what derivable blobs are derived from.
  void stores.layers
  const pushed: PushedTag[] = []
  for (const { reference, image } of images) {
    const tag = reference.tag ?? 'latest'
    await using _lease = holdImage(stores, image)
    const { descriptor } = await pushImage(repository, image, stores.content, {
      tag,
      compression: options.compression ?? 'gzip',
      ...(signal === undefined ? {} : { signal }),
      ...(onProgress === undefined ? {} : { onProgress }),
    })
    stores.images.addRepositoryDigest(reference, descriptor.digest, image.manifest.digest)
    pushed.push({ tag, manifestDigest: descriptor.digest, manifestBytes: descriptor.size })
  }
  return pushed
}

/** Keeps an image whole while it is read, even when somebody removes it meanwhile. */
function holdImage(stores: Stores, { id, manifest }: ImageRecord): Lease {
  const lease = stores.leases.create()
  for (const resource of stores.images.references(manifest.digest)) lease.add(resource)
  if (stores.images.get(manifest.digest) !== undefined) return lease
  lease.release()
  throw new StrataError('notFound', 'STRATA_NO_SUCH_IMAGE', `Cannot read image "${id}": it was removed meanwhile`)
}

/** The names that a repository has here. */
function tagsOf(stores: Stores, { domain, path }: Reference): readonly Reference[] {
  const names = stores.images.list().flatMap(image => image.names.map(parseReference))
  return names.filter(name => name.domain === domain && name.path === path)
}

/** An archive of images; what an image is named in it is what it was asked for by. */
export async function saveImages(stores: Stores, texts: readonly string[], options: SaveOptions & CallOptions): Promise<ByteStream> {
  const { writeArchive } = await import('../archive/index.ts')
  const asked = new Map<string, { readonly image: ImageRecord; readonly names: Map<string, Reference> }>()
  for (const { image, name } of texts.flatMap(text => imagesMeant(stores, text))) {
    await requirePlatform(stores, image, { text: name === undefined ? image.id : familiarName(name), wanted: options.platform })
    const entry = asked.get(image.manifest.digest) ?? { image, names: new Map<string, Reference>() }
    asked.set(image.manifest.digest, entry)
    if (name !== undefined) entry.names.set(formatReference(name), name)
  }
  void stores.layers
  await using held = new AsyncDisposableStack()
  for (const { image } of asked.values()) held.use(holdImage(stores, image))
  const images = await Promise.all(
    [...asked.values()].map(async ({ image, names }) => ({
      names: [...names.values()],
      descriptor: image.manifest,
      manifest: parseManifest(await readAtMost(await stores.content.open(image.manifest), LIMITS.manifestBytes), image.manifest.mediaType),
      diffIds: image.diffIds,
    })),
  )
  const archive = writeArchive(images, stores.content, options.format ?? 'docker')
  const leases = held.move()
  return (async function* () {
    await using _leases = leases
    yield* archive
  })()
}

/** An id means an image without a name, a name with a tag itself, and a repository alone all its tags here. */
function imagesMeant(stores: Stores, text: string): readonly { readonly image: ImageRecord; readonly name: Reference | undefined }[] {
  const repository = repositoryIn(text)
  const tagged = repository === undefined ? [] : tagsOf(stores, repository)
  if (tagged.length > 0) return tagged.map(name => ({ image: stores.images.named(name)!, name }))
  const name = stores.images.nameMeant(text)
  return [{ image: stores.images.resolve(text), name: name?.digest === undefined ? name : undefined }]
}

/** A reference that is nothing but a repository; undefined for every other, and for what is no reference. */
function repositoryIn(text: string): Reference | undefined {
  try {
    const reference = parseReference(text)
    return reference.tag === undefined && reference.digest === undefined ? reference : undefined
  } catch (error) {
    if (isStrataError(error, 'invalidArgument')) return undefined
    throw error
  }
}
