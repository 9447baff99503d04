import { type ByteStream, type CallOptions, isStrataError } from '../base/index.ts'
import { type FileListing, type ImageFiles, openImageFiles } from '../explore/index.ts'
import type { ListDirectoryOptions, LookOptions } from './images.ts'
import { findImageHere, remotePlaceOf } from './lookedAtImage.ts'
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
  const image = await openImage(stores, text, { ...options, readsContents: true, opened })
  // Its first bytes are verified when they come: until then everything can be asked for again.
  const bytes = await image.look(async files => begun(await files.readFile(path)))
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
  const image = await openImage(stores, text, { ...options, readsContents: false, opened })
  yield* await image.look(files => begun(files.list(path, options)))
}

interface Opening extends Looking {
  readonly readsContents: boolean
  /** Closes what is opened. */
  readonly opened: AsyncDisposableStack
}

interface OpenedImage {
  /** Looks into it, and once more, from the manifest on, where a mirror had given something wrong for that. */
  look<Result>(work: (files: ImageFiles) => Promise<Result>): Promise<Result>
}

async function openImage(stores: Stores, text: string, { opened, ...options }: Opening): Promise<OpenedImage> {
  const { layers, content } = stores
  const places = { layers, content, scratch: stores.scratchDirectory() }
  const here = await findImageHere(stores, text, options)
  if (here !== undefined) {
    opened.use(holdImage(stores, here))
    const stack = here.diffIds.map(diffId => ({ diffId }))
    const files = opened.use(openImageFiles(stack, places, options))
    return { look: work => work(files) }
  }
  const { repository, find } = await remotePlaceOf(text, options)
  opened.use(repository)
  const open = async (): Promise<ImageFiles> => {
    const { manifest, config } = await find()
    const stack = manifest.layers.map((blob, at) => ({ blob, diffId: config.rootfs.diff_ids[at]! }))
    return opened.use(openImageFiles(stack, { ...places, repository }, options))
  }
  return {
    async look(work) {
      const seen = await repository.withoutLiars(async () => answerOrPathFault(work(await open())))
      if ('fault' in seen) throw seen.fault
      return seen.answer
    },
  }
}

/** What is said of a path that somebody has typed; no mirror is to blame for it. */
const PATH_FAULTS: ReadonlySet<string> = new Set([
  'STRATA_NOT_A_FILE',
  'STRATA_NOT_A_DIRECTORY',
  'STRATA_TOO_MANY_SYMLINKS',
  'STRATA_PATH_TOO_LONG',
])

async function answerOrPathFault<Answer>(asked: Promise<Answer>): Promise<{ readonly answer: Answer } | { readonly fault: unknown }> {
  try {
    return { answer: await asked }
  } catch (fault) {
    if (isStrataError(fault) && PATH_FAULTS.has(fault.code)) return { fault }
    throw fault
  }
}

/** The same items, of which the first has come already. */
async function begun<Item>(items: AsyncIterable<Item>): Promise<AsyncGenerator<Item>> {
  const iterator = items[Symbol.asyncIterator]()
  const first = await iterator.next()
  return (async function* () {
    try {
      for (let next = first; next.done !== true; next = await iterator.next()) yield next.value
    } finally {
      await iterator.return?.()
    }
  })()
}
