import { constants } from 'node:fs'
import { callError, callInThread, kernelName, lastErrno, lastError, libc } from './libc.ts'

/** Stands for the current directory where a directory's descriptor is expected (AT_FDCWD), so plain paths work too. */
export const CURRENT_DIRECTORY = -100

/** Opens a file only as a place in the tree: no permission on it, no blocking, no side effect of a device. open(2) */
export const O_PATH = 0o10000000

const O_CLOEXEC = 0o2000000

/**
 * Opens `name` in the directory `directory` and returns a descriptor that no child process inherits.
 *
 * @param flags `fs.constants.O_*` and `O_PATH`; O_NOFOLLOW is the caller's to give
 * @param mode permissions of a file that is created, masked by the umask
 * @throws a Node-shaped error with `code`, such as ENOENT, EEXIST, ELOOP
 */
export function openAt(directory: number, name: string, flags: number, mode = 0): number {
  const fd = libc().openat(directory, kernelName(name), flags | O_CLOEXEC, mode)
  if (fd < 0) throw lastError('openat', name)
  return fd
}

/** Opens a directory for reading its names, without following a link at `name`. */
export function openDirectoryAt(directory: number, name: string): number {
  return openAt(directory, name, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
}

/** Closes a descriptor. Linux frees it even when close reports an error (EIO, ENOSPC of delayed writes). */
export function close(fd: number): void {
  if (libc().close(fd) < 0) {
    const code = lastErrno()
    if (code !== 'EINTR') throw callError(code, 'close')
  }
}

const ends = Buffer.alloc(8)

/** A new pipe; Node's own, between it and a child, is a socket, which nobody can open by name. pipe(2) */
export function makePipe(): { readonly read: number; readonly write: number } {
  if (libc().pipe2(ends, O_CLOEXEC) < 0) throw lastError('pipe2')
  return { read: ends.readInt32LE(0), write: ends.readInt32LE(4) }
}

/** Writes some of `bytes`, at `position` or where the descriptor stands; returns how many. */
export function write(fd: number, bytes: Uint8Array, position?: number): number {
  for (;;) {
    const count = position === undefined ? libc().write(fd, bytes, bytes.byteLength) : libc().pwrite(fd, bytes, bytes.byteLength, position)
    if (count >= 0) return count
    const code = lastErrno()
    if (code !== 'EINTR') throw callError(code, 'write')
  }
}

/** Writes all of `bytes`; the kernel may take them in several pieces (at most 2 GiB at once, less on a full pipe). */
export function writeAll(fd: number, bytes: Uint8Array, position?: number): void {
  let done = 0
  while (done < bytes.byteLength) {
    const rest = done === 0 ? bytes : bytes.subarray(done)
    done += write(fd, rest, position === undefined ? undefined : position + done)
  }
}

/** Reads into `buffer`, at `position` or where the descriptor stands; returns how many bytes, 0 at the end. */
export function readInto(fd: number, buffer: Uint8Array, position?: number): number {
  for (;;) {
    const count =
      position === undefined ? libc().read(fd, buffer, buffer.byteLength) : libc().pread(fd, buffer, buffer.byteLength, position)
    if (count >= 0) return count
    const code = lastErrno()
    if (code !== 'EINTR') throw callError(code, 'read')
  }
}

/** Sets the size of an open file; what is beyond the old end is a hole that reads as zeros. */
export function truncate(fd: number, size: number): void {
  if (libc().ftruncate(fd, size) < 0) throw lastError('ftruncate')
}

/** Makes everything written to the file system that holds `fd` durable, in another thread: it may take seconds. syncfs(2) */
export function syncFileSystem(fd: number): Promise<void> {
  return callInThread('syncfs', fd)
}
