import { type CallOptions, readAtMost, StrataError } from '../base/index.ts'
import type { BlobSource } from '../content/index.ts'
import {
  checkIsImage,
  choosePlatform,
  type Descriptor,
  type Digest,
  enterIndex,
  formatPlatform,
  type ImageIndex,
  isAboutAnImage,
  isIndex,
  LIMITS,
  matchesPlatform,
  parseImageConfig,
  parseIndex,
  parseManifest,
  type Platform,
} from '../oci/index.ts'

/** The part of a graph that is meant. */
export interface ChosenGraph {
  readonly root: Descriptor
  /** Which entries of its indexes belong to it; absent where all do. */
  readonly select?: (entry: Descriptor) => boolean
}

/** The annotation by which BuildKit says which image of an index an attestation is about. */
const REFERENCE_DIGEST = 'vnd.docker.reference.digest'

/**
 * What of an index some platforms mean: the manifest of one; of several the index with their entries and what is said about
 * them. An image that is no index must be for one of them.
 *
 * @param platforms at least one
 * Rejects with `notFound` (STRATA_NO_SUCH_PLATFORM) when one of them is not there.
 */
export async function choosePlatforms(
  source: BlobSource,
  root: Descriptor,
  { platforms, ...options }: CallOptions & { readonly platforms: readonly Platform[] },
): Promise<ChosenGraph> {
  if (!isIndex(root.mediaType)) {
    await checkPlatform(source, root, { platforms, ...options })
    return { root }
  }
  const [only, ...others] = platforms
  if (only !== undefined && others.length === 0) return { root: await chooseOne(source, root, { platform: only, ancestors: [] }) }
  const { manifests } = await readIndex(source, root)
  const chosen = new Set(platforms.map(platform => chosenEntry(manifests, platform).digest))
  const isChosen = (entry: Descriptor): boolean =>
    chosen.has(isAboutAnImage(entry) ? (entry.annotations?.[REFERENCE_DIGEST] as Digest) : entry.digest)
  const leftOut = new Set(manifests.filter(entry => !isChosen(entry)).map(({ digest }) => digest))
  return leftOut.size === 0 ? { root } : { root, select: entry => !leftOut.has(entry.digest) }
}

async function chooseOne(
  source: BlobSource,
  root: Descriptor,
  { platform, ancestors }: { readonly platform: Platform; readonly ancestors: readonly Digest[] },
): Promise<Descriptor> {
  if (!isIndex(root.mediaType)) return root
  const entered = enterIndex(ancestors, root.digest)
  const { manifests } = await readIndex(source, root)
  return chooseOne(source, chosenEntry(manifests, platform), { platform, ancestors: entered })
}

async function readIndex(source: BlobSource, index: Descriptor): Promise<ImageIndex> {
  return parseIndex(await readAtMost(await source.open(index), LIMITS.indexBytes, `index ${index.digest}`), index.mediaType)
}

function chosenEntry(manifests: readonly Descriptor[], platform: Platform): Descriptor {
  const chosen = choosePlatform(manifests, platform)
  if (chosen !== undefined) return chosen
  const offered = manifests.flatMap(entry => (entry.platform === undefined || isAboutAnImage(entry) ? [] : [formatPlatform(entry.platform)]))
  throw noSuchPlatform(platform, offered)
}

async function checkPlatform(
  source: BlobSource,
  root: Descriptor,
  { platforms, ...options }: CallOptions & { readonly platforms: readonly Platform[] },
): Promise<void> {
  const manifest = parseManifest(await readAtMost(await source.open(root, options), LIMITS.manifestBytes, `manifest ${root.digest}`), root.mediaType)
  checkIsImage(manifest)
  const config = parseImageConfig(await readAtMost(await source.open(manifest.config, options), LIMITS.configBytes, 'the image config'))
  const { os, architecture, variant } = config
  const offered: Platform = { os, architecture, ...(variant === undefined ? {} : { variant }) }
  const wanted = platforms.find(platform => !matchesPlatform(offered, platform) && formatPlatform(offered) !== formatPlatform(platform))
  if (wanted !== undefined) throw noSuchPlatform(wanted, [formatPlatform(offered)])
}

function noSuchPlatform(platform: Platform, offered: readonly string[]): StrataError {
  return new StrataError('notFound', 'STRATA_NO_SUCH_PLATFORM', `Cannot find an image for ${formatPlatform(platform)}: no manifest is for it`, {
    hint: `There is ${offered.join(', ') || 'none'}; choose one with --platform.`,
  })
}
