import { readAtMost, StrataError } from '../base/index.ts'
import type { ImageRecord } from '../image/index.ts'
import { type ImageConfig, LIMITS, parseDigest, parseImageConfig } from '../oci/index.ts'
import type { Stores } from './stores.ts'

/** The config of an image, and the bytes that its id is the digest of. */
export async function readConfig(stores: Stores, image: ImageRecord): Promise<{ readonly config: ImageConfig; readonly bytes: Buffer }> {
  const info = await stores.content.stat(parseDigest(image.id))
  if (info === undefined)
    throw new StrataError('dataLoss', 'STRATA_BLOB_MISSING', `Cannot read the config of image "${image.id}": its blob is gone`)
  const bytes = await readAtMost(await stores.content.open(info), LIMITS.configBytes, 'the image config')
  return { config: parseImageConfig(bytes), bytes }
}
