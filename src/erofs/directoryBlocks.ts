import { StrataError } from '../base/index.ts'
import { BLOCK_BYTES, DIRENT, DIRENT_BYTES, NAME_BYTES } from './format.ts'
import { nameLength, writeName } from './names.ts'

/** What a directory entry points to. */
export interface DirentTarget {
  readonly nid: number
  readonly type: number
}

/**
 * The bytes of a directory: entries in the order of their names, `.` and `..` among them, cut into blocks, each
 * with its entries first and their names behind.
 *
 * @param names sorted
 * @throws StrataError for a name that no directory can have
 */
export function directorySize(names: readonly string[]): number {
  let full = 0
  let used = 0
  for (const name of names) {
    const length = nameLength(name)
    if (length === 0 || length > NAME_BYTES || name.includes('/') || name.includes('\0')) {
      throw new StrataError('invalidArgument', 'STRATA_EROFS_NAME', `Cannot write EROFS image: ${JSON.stringify(name)} is no file name`)
    }
    if (used + DIRENT_BYTES + length > BLOCK_BYTES) {
      full += BLOCK_BYTES
      used = 0
    }
    used += DIRENT_BYTES + length
  }
  return full + used
}

/** @param into zeros, of `directorySize` bytes */
export function writeDirectory(into: Buffer, names: readonly string[], target: (n: number) => DirentTarget): void {
  let block = 0
  for (let first = 0; first < names.length; block += BLOCK_BYTES) {
    let used = 0
    let end = first
    for (; end < names.length; end += 1) {
      const size = DIRENT_BYTES + nameLength(names[end]!)
      if (used + size > BLOCK_BYTES) break
      used += size
    }
    let nameAt = (end - first) * DIRENT_BYTES
    for (let n = first; n < end; n += 1) {
      const at = block + (n - first) * DIRENT_BYTES
      const { nid, type } = target(n)
      into.writeUInt32LE(nid % 2 ** 32, at + DIRENT.nid)
      into.writeUInt32LE(Math.floor(nid / 2 ** 32), at + DIRENT.nid + 4)
      into.writeUInt16LE(nameAt, at + DIRENT.nameAt)
      into[at + DIRENT.type] = type
      nameAt = writeName(into, names[n]!, block + nameAt) - block
    }
    first = end
  }
}
