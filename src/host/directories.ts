import { decodeFileName } from '../base/index.ts'
import { lastError, libc } from './libc.ts'
import { type FileType, fileTypeOf } from './stat.ts'

/** One name in a directory. */
export interface DirectoryEntry {
  readonly name: string
  /** Absent where the file system does not tell; then only `statAt` knows. */
  readonly type: FileType | undefined
}

/*
 * struct linux_dirent64, getdents64(2):
 *   0 u64 inode · 8 u64 offset · 16 u16 length of this record · 18 u8 type · 19 name, NUL
 */
const LENGTH = 16
const TYPE = 18
const NAME = 19

const DOT = 0x2e

const records = Buffer.alloc(64 * 1024)

/**
 * All entries of an open directory but `.` and `..`, in the disk's order, whatever was read from the
 * descriptor before. Names are complete for any bytes.
 *
 * @param fd a directory opened for reading (not with O_PATH)
 */
export function readDirectory(fd: number): DirectoryEntry[] {
  const calls = libc()
  if (calls.lseek(fd, 0, 0) < 0) throw lastError('lseek')
  const entries: DirectoryEntry[] = []
  for (;;) {
    const filled = calls.getdents64(fd, records, records.length)
    if (filled < 0) throw lastError('getdents64')
    if (filled === 0) return entries
    for (let at = 0; at < filled; at += records.readUInt16LE(at + LENGTH)) {
      const end = records.indexOf(0, at + NAME)
      const dots = records[at + NAME] === DOT && (end === at + NAME + 1 || (end === at + NAME + 2 && records[at + NAME + 1] === DOT))
      if (!dots) entries.push({ name: decodeName(at + NAME, end), type: fileTypeOf(records[at + TYPE]!) })
    }
  }
}

/** Most names are ASCII, which needs no check of UTF-8. */
function decodeName(start: number, end: number): string {
  for (let at = start; at < end; at += 1) {
    if (records[at]! >= 0x80) return decodeFileName(records.subarray(start, end))
  }
  return records.toString('latin1', start, end)
}
