import { StrataError } from '../base/index.ts'
import type { ImageRecord } from '../image/index.ts'
import { formatPlatform, matchesPlatform, type Platform } from '../oci/index.ts'
import { platformOf } from './hostPlatform.ts'
import { readConfig } from './imageConfig.ts'
import type { Stores } from './stores.ts'

/** Whether an image runs where a platform is asked for. @param wanted `os[/architecture[/variant]]` */
async function isForPlatform(stores: Stores, image: ImageRecord, wanted: string): Promise<boolean> {
  const [offered, target] = [await platformOfImage(stores, image), platformOf(wanted)]
  return formatPlatform(offered) === formatPlatform(target) || matchesPlatform(offered, target)
}

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
  const candidates = [image, ...siblings(stores, text)]
  const here = await Promise.all(candidates.map(async each => formatPlatform(await platformOfImage(stores, each))))
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
  for (const each of [image, ...siblings(stores, text)]) if (await isForPlatform(stores, each, wanted)) return each
  return undefined
}

/** The images of the index that a name stands for. */
function siblings(stores: Stores, text: string): readonly ImageRecord[] {
  const name = stores.images.nameMeant(text)
  const root = name === undefined ? undefined : stores.images.rootOf(name)
  return root === undefined ? [] : stores.images.imagesOf(root.digest)
}

async function platformOfImage(stores: Stores, image: ImageRecord): Promise<Platform> {
  const { os, architecture, variant } = (await readConfig(stores, image)).config
  return { os, architecture, ...(variant === undefined ? {} : { variant }) }
}
