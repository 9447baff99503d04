import { readFileSync } from 'node:fs'
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { errnoOf } from '../../base/index.ts'
import { type ErofsFile, writeErofs } from '../../erofs/index.ts'
import { CURRENT_DIRECTORY, getXattrAt, kernelFacts, mount, removeTree } from '../../host/index.ts'
import { removeAbandonedTrials, takeMount, TRIAL_PREFIX } from './overlayTrial.ts'

const CONTENT = 'in another file'
/** One of each kind that a kernel can be built without: what says that a directory is opaque, a capability (capabilities(7)), an ACL (acl(5)). */
const XATTRS: ReadonlyMap<string, Uint8Array> = new Map([
  ['trusted.overlay.opaque', Buffer.from('y')],
  ['security.capability', Buffer.from('0000000200000000000000000000000000000000', 'hex')],
  ['system.posix_acl_access', Buffer.from('0200000001000600ffffffff04000400ffffffff20000400ffffffff', 'hex')],
])
const ATTRIBUTES = { mode: 0o644, uid: 0, gid: 0, modifiedAt: { seconds: 0, nanoseconds: 0 }, xattrs: XATTRS }

/** mount(2): "a block device is needed". Node has no name for it. */
const ENOTBLK = 'E15'
const SINCE = { major: 6, minor: 12 }

/**
 * Why the kernel cannot mount an EROFS image that is a file on the disk of this directory, with its data in another
 * file, or undefined when it can (Linux 6.12). Seen by doing it: a mount may succeed and every read fail.
 */
export async function tryErofs(directory: string): Promise<string | undefined> {
  await removeAbandonedTrials(directory)
  const trial = await mkdtemp(join(directory, TRIAL_PREFIX))
  const [image, data, merged] = ['image', 'data', 'merged'].map(name => join(trial, name)) as [string, string, string]
  try {
    await mkdir(merged)
    await writeFile(data, CONTENT.padEnd(512))
    const size = CONTENT.length
    const file: ErofsFile = { ...ATTRIBUTES, type: 'file', size, content: [{ offset: 0, size, device: 0, position: 0 }] }
    await writeFile(image, writeErofs({ ...ATTRIBUTES, type: 'directory', children: new Map([['file', file]]) }, [{ bytes: 512 }]))
    mount({ type: 'erofs', source: image, options: ['ro', `device=${data}`] }, merged)
    using taken = takeMount(merged)
    const shown = join(taken.path, 'file')
    for (const [name, value] of XATTRS)
      if (getXattrAt(CURRENT_DIRECTORY, shown, name)?.equals(value) !== true) return `EROFS does not show ${name} of a file here`
    return readFileSync(shown, 'latin1') === CONTENT ? undefined : 'EROFS shows something else than was written'
  } catch (error) {
    return obstacleOf(error)
  } finally {
    await removeTree(CURRENT_DIRECTORY, trial)
  }
}

function obstacleOf(error: unknown): string {
  const { erofs, release, version } = kernelFacts()
  const errno = errnoOf(error)
  if (errno === 'ENODEV' || !erofs) return 'the kernel has no EROFS'
  if (version.major < SINCE.major || (version.major === SINCE.major && version.minor < SINCE.minor))
    return `EROFS images that are files need Linux ${SINCE.major}.${SINCE.minor}, and this is ${release}`
  if (errno === ENOTBLK)
    return 'the kernel mounts no EROFS images that are files on this file system: not from memory (tmpfs), nor from an overlay'
  return `an EROFS image does not work here: ${error instanceof Error ? error.message : String(error)}`
}
