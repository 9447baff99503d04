import { constants } from 'node:fs'
import { errnoOf } from '../base/index.ts'
import { close, CURRENT_DIRECTORY, openAt, openDirectoryAt, readDirectory, statAt } from '../host/index.ts'

/** The bytes of file content below a directory of the host, an inode once; 0 where there is none. Follows no link. */
export async function treeBytes(path: string): Promise<number> {
  const seen = new Set<bigint>()
  let fd: number
  try {
    fd = openAt(CURRENT_DIRECTORY, path, constants.O_RDONLY | constants.O_DIRECTORY)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return 0
    throw error
  }
  return bytesBelow(fd, seen)
}

function bytesBelow(directory: number, seen: Set<bigint>): number {
  let bytes = 0
  try {
    for (const { name } of readDirectory(directory)) {
      try {
        const stat = statAt(directory, name)
        if (stat.type === 'directory' && !stat.mountRoot) bytes += bytesBelow(openDirectoryAt(directory, name), seen)
        if (stat.type !== 'file' || seen.has(stat.inode)) continue
        if (stat.links > 1) seen.add(stat.inode)
        bytes += stat.size
      } catch (error) {
        // Removed, or replaced, while we looked.
        if (!['ENOENT', 'ENOTDIR', 'ELOOP'].includes(errnoOf(error) ?? '')) throw error
      }
    }
    return bytes
  } finally {
    close(directory)
  }
}
