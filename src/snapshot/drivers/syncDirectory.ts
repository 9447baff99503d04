import { constants } from 'node:fs'
import { close, CURRENT_DIRECTORY, openAt, syncFileSystem } from '../../host/index.ts'

/** Makes everything that was written to the file system of a directory survive power loss. syncfs(2) */
export async function syncDirectoryFileSystem(path: string): Promise<void> {
  const fd = openAt(CURRENT_DIRECTORY, path, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    await syncFileSystem(fd)
  } finally {
    close(fd)
  }
}
