import type { Descriptor } from './descriptor.ts'
import type { Digest } from './digest.ts'
import { isIndex, isManifest } from './mediaType.ts'
import { normalizePlatform, type Platform } from './platform.ts'

/** The annotation with which BuildKit marks an index entry that is about an image and not an image. */
const REFERENCE_TYPE = 'vnd.docker.reference.type'
/** The image that such an entry is about. */
const REFERENCE_DIGEST = 'vnd.docker.reference.digest'

/**
 * What runs where `wanted` is asked for, best first. As containerd's documentation of platform matching has it, a
 * machine also runs older variants of its architecture and its 32-bit sibling: arm/v7 runs v6 and v5; arm64 runs
 * arm/v8 and older; amd64/v3 runs v2 and v1, and amd64 runs 386.
 */
function runnable(wanted: Platform): readonly string[] {
  const { architecture, variant } = wanted
  const [, major = 0, minor = 0] = (/^v(\d)(?:\.(\d))?$/.exec(variant ?? '') ?? []).map(Number)
  const names = [nameOf(architecture, variant)]
  if (architecture === 'amd64') {
    for (let level = major - 1; level >= 1; level--) names.push(nameOf('amd64', level === 1 ? undefined : `v${level}`))
    names.push(nameOf('386'))
  } else if (architecture === 'arm') {
    for (let level = major - 1; level >= 5; level--) names.push(nameOf('arm', `v${level}`))
  } else if (architecture === 'arm64') {
    // Armv9.n has everything of Armv8.(n+5). Arm ARM, A1.2.2
    if (major === 9) for (let level = minor - 1; level >= 0; level--) names.push(nameOf('arm64', level === 0 ? 'v9' : `v9.${level}`))
    const below = major === 9 ? minor + 6 : major === 8 ? minor : 0
    for (let level = below - 1; level >= 0; level--) names.push(nameOf('arm64', level === 0 ? undefined : `v8.${level}`))
    for (let level = 8; level >= 5; level--) names.push(nameOf('arm', `v${level}`))
  }
  return names
}

function nameOf(architecture: string, variant?: string): string {
  return variant === undefined ? architecture : `${architecture}/${variant}`
}

/**
 * How well `offered` suits `wanted`: 0 is exactly it, more is a fallback, `undefined` is not at all.
 */
function distance(offered: Platform, ranks: ReadonlyMap<string, number>, wanted: Platform): number | undefined {
  const platform = normalizePlatform(offered)
  if (platform.os !== wanted.os || !versionFits(platform, wanted)) return undefined
  const features = platform['os.features'] ?? []
  if (!features.every(feature => wanted['os.features']?.includes(feature) === true)) return undefined
  return ranks.get(nameOf(platform.architecture, platform.variant))
}

/** A Windows container needs the host's build, `10.0.17763` of `10.0.17763.1234`; elsewhere versions mean nothing. */
function versionFits(offered: Platform, wanted: Platform): boolean {
  const [have, want] = [offered['os.version'], wanted['os.version']]
  if (wanted.os !== 'windows' || !have || !want) return true
  return have.split('.').slice(0, 3).join('.') === want.split('.').slice(0, 3).join('.')
}

/**
 * The entries of an index that may be the image for `wanted`, best first; equally good ones stay in the index's order.
 * Entries that name no platform come last: only their config (or the index that they name) tells.
 */
export function platformCandidates(descriptors: readonly Descriptor[], wanted: Platform): readonly Descriptor[] {
  const target = normalizePlatform(wanted)
  const ranks = new Map(runnable(target).map((name, rank) => [name, rank]))
  const ranked: { readonly descriptor: Descriptor; readonly rank: number }[] = []
  for (const descriptor of descriptors) {
    if (isAboutAnImage(descriptor)) continue
    if (!isManifest(descriptor.mediaType) && !isIndex(descriptor.mediaType)) continue
    const rank = descriptor.platform === undefined ? Infinity : distance(descriptor.platform, ranks, target)
    if (rank !== undefined) ranked.push({ descriptor, rank })
  }
  return ranked.toSorted((a, b) => (a.rank === b.rank ? 0 : a.rank - b.rank)).map(({ descriptor }) => descriptor)
}

/** Whether an entry of an index says something about an image and is none: BuildKit's attestations. */
export function isAboutAnImage({ annotations, platform }: Descriptor): boolean {
  return annotations?.[REFERENCE_TYPE] !== undefined || (platform?.os === 'unknown' && platform.architecture === 'unknown')
}

/** The digest of the image that an attestation of BuildKit's is about; undefined for an entry that is none. */
export function subjectOfAttestation(entry: Descriptor): Digest | undefined {
  return isAboutAnImage(entry) ? (entry.annotations?.[REFERENCE_DIGEST] as Digest | undefined) : undefined
}

/** The best entry of an index for `wanted`; `undefined` when none suits. */
export function choosePlatform(descriptors: readonly Descriptor[], wanted: Platform): Descriptor | undefined {
  return platformCandidates(descriptors, wanted)[0]
}

/** Tells whether an image for `offered` runs where `wanted` is asked for. */
export function matchesPlatform(offered: Platform, wanted: Platform): boolean {
  const target = normalizePlatform(wanted)
  return distance(offered, new Map(runnable(target).map((name, rank) => [name, rank])), target) !== undefined
}
