import { readAtMost } from '../base/index.ts'
import { type Descriptor, LIMITS } from '../oci/index.ts'
import type { GraphRoot, ImageSource } from '../transfer/index.ts'

/** Reads the top of a graph; what another index says of it does not belong to it. */
export async function readRoot(source: ImageSource, { mediaType, digest, size }: Descriptor): Promise<GraphRoot> {
  const descriptor = { mediaType, digest, size }
  return { descriptor, bytes: await readAtMost(await source.open(descriptor), LIMITS.indexBytes, `manifest ${digest}`) }
}
