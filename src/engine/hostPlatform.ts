import { arch, platform } from 'node:os'
import { normalizePlatform, parsePlatform, type Platform } from '../oci/index.ts'

/** What this machine runs. */
export function hostPlatform(): Platform {
  return normalizePlatform({ os: platform() === 'win32' ? 'windows' : platform(), architecture: arch() })
}

/** The platform that a user asks for, with the rest of it from this machine. */
export function platformOf(text: string | undefined): Platform {
  return text === undefined ? hostPlatform() : parsePlatform(text, hostPlatform())
}
