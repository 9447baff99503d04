import { realpath, stat } from 'node:fs/promises'
import type { ArchivedRoot, ArchiveSource } from '../archive/index.ts'
import { familiarName } from '../oci/index.ts'
import { type PolicyDirectories, readPolicyFile } from './policyFile.ts'
import type { TrustQuestion } from './trust.ts'

/** Asks the policy about what comes without signatures. */
export async function checkIntake(directories: PolicyDirectories, asked: Pick<TrustQuestion, 'name' | 'place'>): Promise<void> {
  const policy = await readPolicyFile(directories)
  if (policy === undefined) return
  const { checkTrust, UNSIGNED } = await import('./trust.ts')
  await checkTrust(policy, { ...asked, ...UNSIGNED })
}

/** As `checkIntake`, about an image of an archive or a directory. @param path where that is; undefined for a stream */
export async function checkArchived(
  directories: PolicyDirectories,
  archive: ArchiveSource,
  { root, path }: { readonly root: ArchivedRoot; readonly path: string | undefined },
): Promise<void> {
  const { form: transport } = archive
  const name = root.names[0] === undefined ? (path ?? '-') : familiarName(root.names[0])
  const place = transport === 'docker-archive' ? { transport } : { transport, path: path === undefined ? '' : await scopeOf(path) }
  await checkIntake(directories, { name, place })
}

/** The path that a policy knows. What comes through a pipe lies nowhere, and the pipe itself may have no real path. */
async function scopeOf(path: string): Promise<string> {
  const facts = await stat(path)
  return facts.isFile() || facts.isDirectory() ? realpath(path) : ''
}
