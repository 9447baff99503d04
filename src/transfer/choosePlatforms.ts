import { type CallOptions } from '../base/index.ts'
import type { BlobSource } from '../content/index.ts'
import {
  choosePlatform,
  type Descriptor,
  formatPlatform,
  isImageManifest,
  matchesPlatform,
  parseManifestOrIndex,
  type Platform,
  subjectOfAttestation,
} from '../oci/index.ts'
import type { GraphRoot } from './copyGraph.ts'
import { noSuchPlatform } from './noSuchPlatform.ts'
import { choosePlatformImage, readRemoteImage } from './remoteImage.ts'

/** The part of a graph that is meant. */
export interface ChosenGraph {
  readonly root: GraphRoot
  /** Which entries of its indexes belong to it; absent where all do. */
  readonly select?: (entry: Descriptor) => boolean
}

/**
 * What of an index some platforms mean: the manifest of one; of several the index with their entries and what is said about
 * them. An image that is no index must be for one of them; an artifact is for any.
 *
 * @param platforms at least one
 * Rejects with `notFound` (STRATA_NO_SUCH_PLATFORM) when one of them is not there.
 */
export async function choosePlatforms(
  source: BlobSource,
  root: GraphRoot,
  { platforms, ...options }: CallOptions & { readonly platforms: readonly Platform[] },
): Promise<ChosenGraph> {
  const document = parseManifestOrIndex(root.bytes, root.descriptor.mediaType)
  if (document.kind === 'manifest') {
    if (isImageManifest(document.manifest)) await checkPlatform(source, root, { platforms, ...options })
    return { root }
  }
  const [platform, ...others] = platforms
  if (platform !== undefined && others.length === 0) return { root: await choosePlatformImage(source, root, { ...options, platform }) }
  const { manifests } = document.index
  const chosen = new Set(platforms.map(each => entryFor(manifests, each).digest))
  const leftOut = new Set(manifests.map(({ digest }) => digest))
  for (const entry of manifests) if (chosen.has(subjectOfAttestation(entry) ?? entry.digest)) leftOut.delete(entry.digest)
  return leftOut.size === 0 ? { root } : { root, select: entry => !leftOut.has(entry.digest) }
}

function entryFor(manifests: readonly Descriptor[], platform: Platform): Descriptor {
  const entry = choosePlatform(manifests, platform)
  if (entry !== undefined) return entry
  throw noSuchPlatform(manifests, platform, undefined)
}

async function checkPlatform(
  source: BlobSource,
  root: GraphRoot,
  { platforms, ...options }: CallOptions & { readonly platforms: readonly Platform[] },
): Promise<void> {
  const { os, architecture, variant } = (await readRemoteImage(source, root, options)).config
  const offered: Platform = { os, architecture, ...(variant === undefined ? {} : { variant }) }
  for (const platform of platforms) {
    if (matchesPlatform(offered, platform) || formatPlatform(offered) === formatPlatform(platform)) continue
    throw noSuchPlatform([{ ...root.descriptor, platform: offered }], platform, undefined)
  }
}
