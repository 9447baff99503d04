import { StrataError } from '../base/index.ts'
import { quoted } from './quoted.ts'

/** A path in an image, as `cat` takes it: `debian:12:/etc/os-release`. */
export interface ImagePath {
  /** What stands for the image, as it was typed. */
  readonly reference: string
  /** Begins with `/`. */
  readonly path: string
}

/**
 * Splits `REFERENCE:PATH`. The path begins with a slash, so the first `:/` is between them: neither a port, nor a tag, nor a
 * digest is followed by a slash at once. The reference is not parsed, only not empty.
 *
 * @throws StrataError STRATA_IMAGE_PATH_INVALID
 */
export function parseImagePath(text: string): ImagePath {
  const colon = text.indexOf(':/')
  if (colon > 0) return { reference: text.slice(0, colon), path: text.slice(colon + 1) }
  throw new StrataError(
    'invalidArgument',
    'STRATA_IMAGE_PATH_INVALID',
    `Cannot parse path in an image ${quoted(text)}: expected IMAGE:PATH, and a path that begins with "/"`,
    { hint: 'For example: debian:12:/etc/os-release' },
  )
}
