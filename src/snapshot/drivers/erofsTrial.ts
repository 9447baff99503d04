import { readFileSync } from 'node:fs'
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { writeErofs } from '../../erofs/index.ts'
import { CURRENT_DIRECTORY, mount, removeTree } from '../../host/index.ts'
import { removeAbandonedTrials, takeMount, TRIAL_PREFIX } from './overlayTrial.ts'

const ATTRIBUTES = { mode: 0o755, uid: 0, gid: 0, modifiedAt: { seconds: 0, nanoseconds: 0 }, xattrs: new Map<string, Uint8Array>() }
const CONTENT = 'in another file'

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
    const file = { ...ATTRIBUTES, type: 'file', size, content: [{ offset: 0, size, device: 0, position: 0 }] } as const
    await writeFile(image, writeErofs({ ...ATTRIBUTES, type: 'directory', children: new Map([['file', file]]) }, [{ bytes: 512 }]))
    mount({ type: 'erofs', source: image, options: ['ro', `device=${data}`] }, merged)
    using taken = takeMount(merged)
    return readFileSync(join(taken.path, 'file'), 'latin1') === CONTENT ? undefined : 'EROFS shows something else than was written'
  } catch (error) {
    return `EROFS images in files do not work here (they need Linux 6.12): ${error instanceof Error ? error.message : String(error)}`
  } finally {
    await removeTree(CURRENT_DIRECTORY, trial)
  }
}
