import { choosePlatform } from '../oci/index.ts'
import type { TakenImage } from '../transfer/index.ts'
import { hostPlatform } from './hostPlatform.ts'

/** The image that is meant where one is: this machine's, else the first. */
export function bestForHost(taken: readonly TakenImage[]): TakenImage | undefined {
  const offered = taken.map(({ facts, platform }) => ({ ...facts.manifest, platform }))
  const best = choosePlatform(offered, hostPlatform())
  return taken.find(({ facts }) => facts.manifest.digest === best?.digest) ?? taken[0]
}
