import { arch, platform } from 'node:os'
import { formatPlatform, normalizePlatform, parsePlatform, type Platform } from '../oci/index.ts'

/** What this machine runs. */
export function hostPlatform(): Platform {
  return normalizePlatform({ os: platform() === 'win32' ? 'windows' : platform(), architecture: arch() })
}

/** The platform that a user asks for, with the rest of it from this machine. */
export function platformOf(text: string | undefined): Platform {
  return text === undefined ? hostPlatform() : parsePlatform(text, hostPlatform())
}

/** As `platformOf`, of several: one that is asked for twice, in whatever spelling, is meant once. */
export function platformsOf(texts: readonly string[]): readonly Platform[] {
  return [...new Map(texts.map(platformOf).map(each => [formatPlatform(each), each])).values()]
}
