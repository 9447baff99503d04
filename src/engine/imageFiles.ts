import type { ByteStream, CallOptions } from '../base/index.ts'
import { type FileListing, type ImageFiles, openImageFiles } from '../explore/index.ts'
import type { ListDirectoryOptions, LookOptions } from './images.ts'
import { findImageHere, findRemoteImage } from './lookedAtImage.ts'
import { holdImage } from './heldRoot.ts'
import type { RegistryAccess } from './registryAccess.ts'
import type { Stores } from './stores.ts'

/** A path in what people type for an image. */
export interface ImagePlace {
  readonly text: string
  readonly path: string
}

type Looking = LookOptions & CallOptions & RegistryAccess

/** The content of a file of an image; what was opened for it is closed when the stream ends. */
export async function readImageFile(stores: Stores, { text, path }: ImagePlace, options: Looking): Promise<ByteStream> {
  await using opened = new AsyncDisposableStack()
  const files = await openFiles(stores, text, { ...options, readsContents: true, opened })
  const bytes = await files.readFile(path)
  const rest = opened.move()
  return (async function* () {
    await using _rest = rest
    yield* bytes
  })()
}

/** What is in a directory of an image. */
export async function* listImageDirectory(
  stores: Stores,
  { text, path }: ImagePlace,
  options: Looking & ListDirectoryOptions,
): AsyncGenerator<FileListing> {
  await using opened = new AsyncDisposableStack()
  yield* (await openFiles(stores, text, { ...options, readsContents: false, opened })).list(path, options)
}

interface Opening extends Looking {
  readonly readsContents: boolean
  /** Closes what is opened. */
  readonly opened: AsyncDisposableStack
}

async function openFiles(stores: Stores, text: string, { opened, ...options }: Opening): Promise<ImageFiles> {
  const { layers, content } = stores
  const places = { layers, content, scratch: stores.scratchDirectory() }
  const here = await findImageHere(stores, text, options)
  if (here !== undefined) {
    opened.use(holdImage(stores, here))
    return opened.use(
      openImageFiles(
        here.diffIds.map(diffId => ({ diffId })),
        places,
        options,
      ),
    )
  }
  const { repository, image } = await findRemoteImage(text, options)
  opened.use(repository)
  const stack = image.manifest.layers.map((blob, at) => ({ blob, diffId: image.config.rootfs.diff_ids[at]! }))
  return opened.use(openImageFiles(stack, { ...places, repository }, options))
}
