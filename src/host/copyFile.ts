import { readInto, truncate, writeAll } from './descriptors.ts'
import { callError, lastErrno, libc } from './libc.ts'
import { statFd } from './stat.ts'

/** ioctl_ficlone(2): _IOW(0x94, 9, int), the same on x64 and arm64. */
const FICLONE = 0x40049409

const SEEK_DATA = 3
const SEEK_HOLE = 4

/** Of one call, so that a large copy can be interrupted. */
const STEP = 64 * 1024 * 1024

/** What says that two files cannot share blocks, or that the kernel cannot copy between them itself. */
const NOT_HERE: ReadonlySet<string> = new Set(['EOPNOTSUPP', 'ENOTSUP', 'ENOTTY', 'EXDEV', 'EINVAL', 'ENOSYS', 'EPERM', 'ETXTBSY'])

/**
 * Copies the content of one open file into another, empty one: shared blocks where the disk can,
 * else copied in the kernel, else read and written. Holes stay holes.
 *
 * @returns whether the two now share their blocks
 */
export function copyFile(from: number, to: number): 'cloned' | 'copied' {
  if (libc().ioctl(to, FICLONE, from) === 0) return 'cloned'
  const code = lastErrno()
  if (!NOT_HERE.has(code)) throw callError(code, 'ioctl')
  const { size } = statFd(from)
  let at = 0
  while (at < size) {
    const start = seek(from, at, SEEK_DATA) ?? size
    const end = start >= size ? size : (seek(from, start, SEEK_HOLE) ?? size)
    copyRange(from, to, { start, end })
    at = end
  }
  if (size > 0) truncate(to, size)
  // Files of /proc and /sys say 0 and hold more.
  else copyPlainly(from, to, { start: 0, end: Infinity })
  return 'copied'
}

/** The next data or hole at or after `at`; undefined where there is none or the file system does not tell. */
function seek(fd: number, at: number, whence: number): number | undefined {
  const found = libc().lseek(fd, at, whence)
  if (found >= 0) return found
  const code = lastErrno()
  if (code === 'ENXIO') return undefined
  if (code === 'EINVAL' || code === 'ENOTSUP') return whence === SEEK_DATA ? at : undefined
  throw callError(code, 'lseek')
}

interface Range {
  readonly start: number
  readonly end: number
}

const positions = Buffer.alloc(16)

function copyRange(from: number, to: number, { start, end }: Range): void {
  let at = start
  while (at < end) {
    positions.writeBigInt64LE(BigInt(at), 0)
    positions.writeBigInt64LE(BigInt(at), 8)
    const length = Math.min(end - at, STEP)
    const count = libc().copy_file_range(from, positions.subarray(0, 8), to, positions.subarray(8, 16), length, 0)
    if (count < 0) {
      const code = lastErrno()
      if (code === 'EINTR') continue
      if (!NOT_HERE.has(code)) throw callError(code, 'copy_file_range')
    }
    // 0 is the end of a file that has shrunk, or a file system that has nothing to give this way.
    if (count <= 0) {
      copyPlainly(from, to, { start: at, end })
      return
    }
    at += count
  }
}

let chunk: Buffer | undefined

function copyPlainly(from: number, to: number, { start, end }: Range): void {
  chunk ??= Buffer.allocUnsafe(256 * 1024)
  for (let at = start; at < end;) {
    const count = readInto(from, chunk.subarray(0, Math.min(chunk.length, end - at)), at)
    if (count === 0) return
    writeAll(to, chunk.subarray(0, count), at)
    at += count
  }
}
