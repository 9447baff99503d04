import { type ByteStream, type CallOptions, isStrataError, readAtMost } from '../base/index.ts'
import type { ImageRecord } from '../image/index.ts'
import { familiarName, formatReference, LIMITS, parseManifest, parseReference, type Reference } from '../oci/index.ts'
import { holdImage } from './heldRoot.ts'
import { imageFor } from './imagePlatform.ts'
import type { SaveOptions } from './images.ts'
import { tagsOf } from './repositoryTags.ts'
import type { Stores } from './stores.ts'

/** An archive of images; what an image is named in it is what it was asked for by. */
export async function saveImages(stores: Stores, texts: readonly string[], options: SaveOptions & CallOptions): Promise<ByteStream> {
  const { writeArchive } = await import('../archive/index.ts')
  const asked = new Map<string, { readonly image: ImageRecord; readonly names: Map<string, Reference> }>()
  for (const { image: meant, name } of texts.flatMap(text => imagesMeant(stores, text))) {
    const image = await imageFor(stores, name === undefined ? meant.id : familiarName(name), options.platform)
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
  const named = tagged.flatMap(name => ({ image: stores.images.named(name), name }))
  if (named.length > 0) return named.flatMap(({ image, name }) => (image === undefined ? [] : { image, name }))
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
