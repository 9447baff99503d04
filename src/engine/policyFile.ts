import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { errnoOf, isStrataError, readIfExists, StrataError, systemError } from '../base/index.ts'

/** Where configuration is that other tools share. */
export interface PolicyDirectories {
  /** The machine's: `/etc`. */
  readonly systemDirectory: string
  /** This user's: `~/.config`. */
  readonly userConfigDirectory: string
}

export interface PolicyFile {
  readonly path: string
  readonly bytes: Uint8Array
}

/**
 * The `policy.json` in force: this user's, else the machine's; undefined where there is neither, which accepts every image.
 * containers-policy.json(5) "Description"
 *
 * Rejects with STRATA_POLICY_UNREADABLE for one that is there and cannot be read.
 */
export async function readPolicyFile(directories: PolicyDirectories): Promise<PolicyFile | undefined> {
  for (const path of candidates(directories)) {
    try {
      const bytes = await readIfExists(path)
      if (bytes !== undefined) return { path, bytes }
    } catch (cause) {
      // Something on the way to it is a file.
      if (errnoOf(cause) === 'ENOTDIR') continue
      const { kind, message } = systemError(`read signature policy "${path}"`, cause)
      throw new StrataError(kind, 'STRATA_POLICY_UNREADABLE', message, {
        cause,
        hint: 'Without knowing it no image can be used; make it readable, or take it away to accept every image.',
      })
    }
  }
  return undefined
}

/** The path of the policy in force, which may be unreadable or wrong. */
export async function findPolicyFile(directories: PolicyDirectories): Promise<string | undefined> {
  for (const path of candidates(directories)) {
    try {
      await stat(path)
      return path
    } catch (error) {
      if (!['ENOENT', 'ENOTDIR'].includes(errnoOf(error) ?? '')) return path
    }
  }
  return undefined
}

const candidates = ({ userConfigDirectory, systemDirectory }: PolicyDirectories): readonly string[] =>
  [userConfigDirectory, systemDirectory].map(directory => join(directory, 'containers/policy.json'))

/** Whether the policy says no to an image. */
export function isPolicyRejection(error: unknown): error is StrataError {
  return isStrataError(error, 'permissionDenied') && error.code === POLICY_REJECTED
}

export const POLICY_REJECTED = 'STRATA_POLICY_REJECTED'
