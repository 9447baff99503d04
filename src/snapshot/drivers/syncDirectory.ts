import { closeSync, constants, openSync } from 'node:fs'
import { syncFileSystem } from '../../host/index.ts'

/** Makes everything that was written to the file system of a directory survive power loss. syncfs(2) */
export function syncDirectoryFileSystem(path: string): void {
  const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    syncFileSystem(fd)
  } finally {
    closeSync(fd)
  }
}
