import { errnoOf, TimeSlices } from '../../base/index.ts'
import { close, CURRENT_DIRECTORY, openDirectoryAt, readDirectory, statAt, statFd } from '../../host/index.ts'
import type { Usage } from '../driver.ts'

/** Walks a directory of the store and adds up content bytes and inodes, an inode once. What changes meanwhile may or may not be counted. */
export async function diskUsage(directory: string): Promise<Usage> {
  const usage = new UsageWalk()
  await usage.walk(CURRENT_DIRECTORY, directory)
  return { bytes: usage.bytes, inodes: usage.inodes }
}

class UsageWalk {
  bytes = 0
  inodes = 0
  /** Those of several names that were counted. */
  readonly #linked = new Set<bigint>()
  readonly #slices = new TimeSlices()

  async walk(parent: number, name: string): Promise<void> {
    const fd = unlessGone(() => openDirectoryAt(parent, name))
    if (fd === undefined) return
    try {
      statFd(fd)
      this.inodes += 1
      for (const entry of readDirectory(fd)) {
        if (entry.type === 'directory') await this.walk(fd, entry.name)
        else this.#count(fd, entry.name)
        if (this.#slices.over) await this.#slices.next()
      }
    } finally {
      close(fd)
    }
  }

  #count(directory: number, name: string): void {
    const stat = unlessGone(() => statAt(directory, name))
    if (stat === undefined) return
    if (stat.links > 1) {
      if (this.#linked.has(stat.inode)) return
      this.#linked.add(stat.inode)
    }
    this.inodes += 1
    if (stat.type === 'file') this.bytes += stat.size
  }
}

/** A running container changes its layer while it is counted. */
function unlessGone<T>(look: () => T): T | undefined {
  try {
    return look()
  } catch (error) {
    const errno = errnoOf(error)
    if (errno === 'ENOENT' || errno === 'ENOTDIR' || errno === 'ELOOP') return undefined
    throw error
  }
}
