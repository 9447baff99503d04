import { constants } from 'node:fs'
import { decodeFileName } from '../base/index.ts'
import { close, O_PATH, openAt } from './descriptors.ts'
import { callError, kernelName, lastErrno, lastError, libc } from './libc.ts'
import { type DeviceNumber, type FileType, statFd, TYPE_BITS } from './stat.ts'
import { encodeTimes, type Timestamps } from './timestamps.ts'

/*
 * Calls on one entry of an open directory. `name` is one component (or a path relative to
 * `directory`, whose inner links the kernel then follows: confinement is ConfinedRoot's work).
 * None of them follows a link at `name`. They throw Node-shaped errors with `code`.
 */

const AT_SYMLINK_NOFOLLOW = 0x100
const AT_REMOVEDIR = 0x200

const { O_NOFOLLOW } = constants

/** Makes a directory. @param mode permissions, masked by the umask */
export function makeDirectoryAt(directory: number, name: string, mode: number): void {
  if (libc().mkdirat(directory, kernelName(name), mode) < 0) throw lastError('mkdirat', name)
}

/** Makes a symbolic link called `name` that says `target`. */
export function symlinkAt(target: string, directory: number, name: string): void {
  if (libc().symlinkat(kernelName(target), directory, kernelName(name)) < 0) throw lastError('symlinkat', target, name)
}

/** What a symbolic link says, byte for byte. */
export function readlinkAt(directory: number, name: string): string {
  // A link's target is at most a page without its NUL (PATH_MAX).
  const count = libc().readlinkat(directory, kernelName(name), linkTarget, linkTarget.length)
  if (count < 0) throw lastError('readlinkat', name)
  return decodeFileName(linkTarget.subarray(0, count))
}

const linkTarget = Buffer.alloc(4096)

/** Gives the file `from` (the link itself where it is a symlink) the further name `to`. */
export function linkAt(fromDirectory: number, from: string, toDirectory: number, to: string): void {
  if (libc().linkat(fromDirectory, kernelName(from), toDirectory, kernelName(to), 0) < 0) throw lastError('linkat', from, to)
}

/** Removes a name; with `directory: true`, an empty directory. */
export function unlinkAt(directory: number, name: string, what: { readonly directory?: boolean } = {}): void {
  if (libc().unlinkat(directory, kernelName(name), what.directory === true ? AT_REMOVEDIR : 0) < 0) throw lastError('unlinkat', name)
}

/** What a node is to be. */
export interface NodeAttributes {
  /** Permissions, masked by the umask. */
  readonly mode: number
  /** For `character` and `block`. */
  readonly device?: DeviceNumber | undefined
}

/** Makes a FIFO, a device, a socket's name or an empty file. mknod(2) */
export function makeNodeAt(
  directory: number,
  name: string,
  type: Exclude<FileType, 'directory' | 'symlink'>,
  attributes: NodeAttributes,
): void {
  const device = attributes.device === undefined ? 0 : encodeDevice(attributes.device)
  if (libc().mknodat(directory, kernelName(name), TYPE_BITS[type] | attributes.mode, device) < 0) throw lastError('mknodat', name)
}

/** The kernel's 32-bit form: 12 bits of major, 20 of minor; a number that does not fit would become another device. */
function encodeDevice({ major, minor }: DeviceNumber): number {
  if (!(major >= 0 && major < 2 ** 12 && minor >= 0 && minor < 2 ** 20)) throw callError('EINVAL', 'mknodat', `${major}:${minor}`)
  return ((minor & 0xff) | (major << 8) | ((minor & 0xfff00) << 12)) >>> 0
}

/** What happens to a file that already has the new name. */
export type RenameMode = 'replace' | 'noReplace' | 'exchange'

const RENAME_FLAGS: Readonly<Record<RenameMode, number>> = { replace: 0, noReplace: 1, exchange: 2 }

/**
 * Renames an entry in one step. `noReplace` fails with EEXIST where `to` exists, `exchange` swaps
 * two entries that both exist. Some file systems know neither: EINVAL. renameat2(2)
 */
export function renameAt(fromDirectory: number, from: string, toDirectory: number, to: string, mode: RenameMode = 'replace'): void {
  if (libc().renameat2(fromDirectory, kernelName(from), toDirectory, kernelName(to), RENAME_FLAGS[mode]) < 0) {
    throw lastError('renameat2', from, to)
  }
}

/** Sets owner and group, of the link itself where it is a symlink. The kernel clears setuid and setgid: chmod afterwards. */
export function chownAt(directory: number, name: string, uid: number, gid: number): void {
  if (libc().fchownat(directory, kernelName(name), uid, gid, AT_SYMLINK_NOFOLLOW) < 0) throw lastError('fchownat', name)
}

/** Sets owner and group of an open file. */
export function chownFd(fd: number, uid: number, gid: number): void {
  if (libc().fchown(fd, uid, gid) < 0) throw lastError('fchown')
}

let hasFchmodat2 = true

/** Sets permissions exactly (no umask). A symlink has none: ENOTSUP. */
export function chmodAt(directory: number, name: string, mode: number): void {
  if (hasFchmodat2) {
    if (libc().fchmodat2(directory, kernelName(name), mode, AT_SYMLINK_NOFOLLOW) === 0) return
    const code = lastErrno()
    // The call came with Linux 6.6; sandboxes answer EPERM for calls that they do not know.
    if (code !== 'ENOSYS' && code !== 'EPERM') throw callError(code, 'fchmodat2', name)
    hasFchmodat2 = code === 'EPERM'
  }
  chmodByHandle(directory, name, mode)
}

/** Holds the file by O_PATH, looks that it is no link, and changes what is held through /proc. */
function chmodByHandle(directory: number, name: string, mode: number): void {
  const fd = openAt(directory, name, O_PATH | O_NOFOLLOW)
  try {
    if (statFd(fd).type === 'symlink') throw callError('ENOTSUP', 'fchmodat', name)
    if (libc().fchmodat(-1, `/proc/self/fd/${fd}`, mode, 0) < 0) throw lastError('fchmodat', name)
  } finally {
    close(fd)
  }
}

/** Sets permissions of an open file exactly (no umask). */
export function chmodFd(fd: number, mode: number): void {
  if (libc().fchmod(fd, mode) < 0) throw lastError('fchmod')
}

/** Sets times to the nanosecond, of the link itself where it is a symlink. */
export function setTimesAt(directory: number, name: string, times: Timestamps): void {
  if (libc().utimensat(directory, kernelName(name), encodeTimes(times), AT_SYMLINK_NOFOLLOW) < 0) throw lastError('utimensat', name)
}

/** Sets times of an open file to the nanosecond. */
export function setTimesFd(fd: number, times: Timestamps): void {
  if (libc().futimens(fd, encodeTimes(times)) < 0) throw lastError('futimens')
}
