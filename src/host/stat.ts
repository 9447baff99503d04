import { kernelName, lastError, libc } from './libc.ts'
import type { Timestamp } from './timestamps.ts'

/** What a directory entry is. */
export type FileType = 'file' | 'directory' | 'symlink' | 'character' | 'block' | 'fifo' | 'socket'

/** Names a device, or (as `Stat.device`) the file system that holds a file. */
export interface DeviceNumber {
  readonly major: number
  readonly minor: number
}

/** The attributes of one inode, with nothing rounded. */
export interface Stat {
  readonly type: FileType
  /** Permission bits with setuid, setgid and sticky: `0o7777`. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly size: number
  /** Names of this inode. */
  readonly links: number
  readonly inode: bigint
  /** The file system; together with `inode` it identifies the file. */
  readonly device: DeviceNumber
  /** The device that a character or block node stands for; 0:0 for everything else. */
  readonly rdev: DeviceNumber
  /** Allocated blocks of 512 bytes; fewer than the size needs where the file has holes. */
  readonly blocks: number
  readonly accessedAt: Timestamp
  readonly modifiedAt: Timestamp
  readonly changedAt: Timestamp
  /** The mount that holds it, as in /proc/self/mountinfo. */
  readonly mountId: number
  /** True for the root of a mount, which nothing below may be confused with. */
  readonly mountRoot: boolean
}

/** Type bits of a mode. inode(7) */
export const TYPE_BITS: Readonly<Record<FileType, number>> = {
  fifo: 0o010000,
  character: 0o020000,
  directory: 0o040000,
  block: 0o060000,
  file: 0o100000,
  symlink: 0o120000,
  socket: 0o140000,
}

const TYPES: readonly (FileType | undefined)[] = ((): (FileType | undefined)[] => {
  const types: (FileType | undefined)[] = []
  for (const [type, bits] of Object.entries(TYPE_BITS)) types[bits >> 12] = type as FileType
  return types
})()

/** The type that the upper four bits of a mode (also `d_type` of a directory entry) stand for. */
export function fileTypeOf(bits: number): FileType | undefined {
  return TYPES[bits]
}

const AT_SYMLINK_NOFOLLOW = 0x100
const AT_EMPTY_PATH = 0x1000
/** STATX_BASIC_STATS and STATX_MNT_ID. */
const WANTED = 0x7ff | 0x1000
const STATX_ATTR_MOUNT_ROOT = 0x2000

/** struct statx, statx(2); 256 bytes on every architecture. */
const result = Buffer.alloc(256)

/** The attributes of `name` in `directory`, of the link itself where it is a symlink. */
export function statAt(directory: number, name: string): Stat {
  if (libc().statx(directory, kernelName(name), AT_SYMLINK_NOFOLLOW, WANTED, result) < 0) throw lastError('statx', name)
  return decode()
}

/** The attributes of an open file, also of one opened with O_PATH. */
export function statFd(fd: number): Stat {
  if (libc().statx(fd, '', AT_EMPTY_PATH, WANTED, result) < 0) throw lastError('statx')
  return decode()
}

function decode(): Stat {
  const mode = result.readUInt16LE(28)
  return {
    type: TYPES[mode >> 12] ?? 'file',
    mode: mode & 0o7777,
    uid: result.readUInt32LE(20),
    gid: result.readUInt32LE(24),
    size: readInteger(40),
    links: result.readUInt32LE(16),
    inode: result.readBigUInt64LE(32),
    device: { major: result.readUInt32LE(136), minor: result.readUInt32LE(140) },
    rdev: { major: result.readUInt32LE(128), minor: result.readUInt32LE(132) },
    blocks: readInteger(48),
    accessedAt: readTime(64),
    modifiedAt: readTime(112),
    changedAt: readTime(96),
    mountId: readInteger(144),
    mountRoot: (result.readUInt32LE(8) & STATX_ATTR_MOUNT_ROOT) !== 0,
  }
}

function readTime(at: number): Timestamp {
  return { seconds: readInteger(at), nanoseconds: result.readUInt32LE(at + 8) }
}

/** A signed 64-bit number; exact up to 2^53, which sizes and times keep to. */
function readInteger(at: number): number {
  return result.readInt32LE(at + 4) * 2 ** 32 + result.readUInt32LE(at)
}
