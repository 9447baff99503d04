import { StrataError } from '../base/index.ts'
import type { ImageRecord } from '../image/index.ts'
import { choosePlatform, formatPlatform, parseIndex, type Platform } from '../oci/index.ts'
import { platformOf } from './hostPlatform.ts'
import { readConfig } from './imageConfig.ts'
import { readRoot } from './readRoot.ts'
import type { Stores } from './stores.ts'

/**
 * The image of a name for a platform: the one that the name means, or another one of its index.
 *
 * @param wanted `os[/architecture[/variant]]`; undefined for the one that the name means
 * Rejects with `notFound` (STRATA_NO_SUCH_PLATFORM).
 */
export async function imageFor(stores: Stores, text: string, wanted: string | undefined): Promise<ImageRecord> {
  const image = stores.images.resolve(text)
  if (wanted === undefined) return image
  const suitable = await findImageFor(stores, text, wanted)
  if (suitable !== undefined) return suitable
  const here = (await offeredBy(stores, text, image)).map(({ platform }) => formatPlatform(platform))
  throw new StrataError(
    'notFound',
    'STRATA_NO_SUCH_PLATFORM',
    `Cannot find image "${text}" for ${formatPlatform(platformOf(wanted))}: what is here is for ${[...new Set(here)].join(', ')}`,
    { hint: 'Pull it with --platform.' },
  )
}

/** As `imageFor`, with undefined for an image that is not here, or not for this platform. */
export async function findImageFor(stores: Stores, text: string, wanted: string | undefined): Promise<ImageRecord | undefined> {
  const image = stores.images.find(text)
  if (image === undefined || wanted === undefined) return image
  const candidates = await offeredBy(stores, text, image)
  const best = choosePlatform(
    candidates.map(({ image: each, platform }) => ({ ...each.manifest, platform })),
    platformOf(wanted),
  )
  return candidates.find(({ image: each }) => each.manifest.digest === best?.digest)?.image
}

interface Offered {
  readonly image: ImageRecord
  readonly platform: Platform
}

/** The images that a name may mean: its own, and the others of the index that it stands for. */
async function offeredBy(stores: Stores, text: string, image: ImageRecord): Promise<readonly Offered[]> {
  const name = stores.images.nameMeant(text)
  const root = name === undefined ? undefined : stores.images.rootOf(name)
  const parts = root === undefined ? [] : stores.images.imagesOf(root.digest)
  const entries = root === undefined || parts.length === 0 ? [] : parseIndex((await readRoot(stores.content, root)).bytes).manifests
  const images = new Map([image, ...parts].map(each => [each.manifest.digest, each]))
  return Promise.all(
    [...images.values()].map(async each => {
      // The index knows more: many configs have no variant.
      const entry = entries.find(({ digest }) => digest === each.manifest.digest)
      return { image: each, platform: entry?.platform ?? (await platformOfImage(stores, each)) }
    }),
  )
}

/** What an image's config says that it is for. */
export async function platformOfImage(stores: Stores, image: ImageRecord): Promise<Platform> {
  const { os, architecture, variant } = (await readConfig(stores, image)).config
  return { os, architecture, ...(variant === undefined ? {} : { variant }) }
}
