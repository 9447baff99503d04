import { StrataError } from '../base/index.ts'
import type { ImageRecord } from '../image/index.ts'
import { formatPlatform, matchesPlatform, type Platform } from '../oci/index.ts'
import { platformOf } from './hostPlatform.ts'
import { readConfig } from './imageConfig.ts'
import type { Stores } from './stores.ts'

/** Whether an image runs where a platform is asked for. @param wanted `os[/architecture[/variant]]` */
export async function isForPlatform(stores: Stores, image: ImageRecord, wanted: string): Promise<boolean> {
  const [offered, target] = [await platformOfImage(stores, image), platformOf(wanted)]
  return formatPlatform(offered) === formatPlatform(target) || matchesPlatform(offered, target)
}

/**
 * The root keeps one platform of an image: another one that is asked for is not here.
 *
 * @param wanted `os[/architecture[/variant]]`; undefined for whichever it is
 * Rejects with `notFound` (STRATA_NO_SUCH_PLATFORM).
 */
export async function requirePlatform(
  stores: Stores,
  image: ImageRecord,
  { text, wanted }: { readonly text: string; readonly wanted: string | undefined },
): Promise<void> {
  if (wanted === undefined || (await isForPlatform(stores, image, wanted))) return
  throw new StrataError(
    'notFound',
    'STRATA_NO_SUCH_PLATFORM',
    `Cannot find image "${text}" for ${formatPlatform(platformOf(wanted))}: what is here is for ${formatPlatform(await platformOfImage(stores, image))}`,
    { hint: 'Pull it with --platform.' },
  )
}

async function platformOfImage(stores: Stores, image: ImageRecord): Promise<Platform> {
  const { os, architecture, variant } = (await readConfig(stores, image)).config
  return { os, architecture, ...(variant === undefined ? {} : { variant }) }
}
