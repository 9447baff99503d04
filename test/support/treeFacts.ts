import { createHash } from 'node:crypto'
import { lstat, readdir, readFile, readlink } from 'node:fs/promises'
import { join } from 'node:path'
import { CURRENT_DIRECTORY, readXattrsAt } from '../../src/host/index.ts'

/**
 * What a tree on disk is, as one line a path: type, mode, owner, device, link count, mtime in
 * nanoseconds, xattrs, link target and the SHA-256 of content. Two equal trees give equal lines.
 */
export async function treeFacts(root: string): Promise<readonly string[]> {
  const lines: string[] = []
  const visit = async (path: string): Promise<void> => {
    const full = join(root, path)
    const stat = await lstat(full, { bigint: true })
    const kind = (stat.mode & 0o170000n).toString(8)
    const facts = [path, kind, (stat.mode & 0o7777n).toString(8), `${stat.uid}:${stat.gid}`, String(stat.mtimeNs)]
    if (stat.isFile()) {
      facts.push(String(stat.size), `links=${stat.nlink}`)
      facts.push(
        createHash('sha256')
          .update(await readFile(full))
          .digest('hex'),
      )
    }
    if (stat.isSymbolicLink()) facts.push(await readlink(full))
    if (stat.isCharacterDevice() || stat.isBlockDevice()) facts.push(`rdev=${stat.rdev}`)
    const xattrs = [...readXattrsAt(CURRENT_DIRECTORY, full)].filter(([name]) => name !== 'security.selinux')
    for (const [name, value] of xattrs.sort(([a], [b]) => (a < b ? -1 : 1))) facts.push(`${name}=${value.toString('hex')}`)
    lines.push(facts.join(' '))
    if (stat.isDirectory()) for (const name of (await readdir(full)).sort()) await visit(join(path, name))
  }
  await visit('')
  return lines
}
