import { StrataError } from '../base/index.ts'
import { type Descriptor, formatPlatform, isAboutAnImage, type Platform } from '../oci/index.ts'

/** @param name of the repository or whatever has the index */
export function noSuchPlatform(entries: readonly Descriptor[], wanted: Platform, name: string | undefined): StrataError {
  const images = entries.filter(entry => !isAboutAnImage(entry))
  const offered = new Set(images.flatMap(({ platform }) => (platform === undefined ? [] : [formatPlatform(platform)])))
  return new StrataError(
    'notFound',
    'STRATA_NO_SUCH_PLATFORM',
    `Cannot find an image for ${formatPlatform(wanted)} in ${name === undefined ? 'the index' : `"${name}"`}: no manifest is for it`,
    { hint: `It has ${[...offered].join(', ') || 'none'}; choose one with --platform.` },
  )
}
