import { isAscii, isUtf8 } from 'node:buffer'
import { encodeFileName, StrataError } from '../base/index.ts'
import {
  BLOCK_BYTES,
  CHECKSUM,
  DEVICE_MAJOR,
  DEVICE_MINOR,
  type Field,
  GID,
  GROUP_NAME,
  LINK_NAME,
  MAGIC,
  MODE,
  MTIME,
  NAME,
  PREFIX,
  SIZE,
  TYPE_OFFSET,
  UID,
  USER_NAME,
} from './block.ts'
import type { TarEntryType, TarHeader } from './entry.ts'
import { formatPaxTime, paxRecord, xattrKeyword } from './pax.ts'

/** The end marker: two blocks of zeros. */
export const TAR_END: Buffer = Buffer.alloc(2 * BLOCK_BYTES)

const TYPE_FLAG = {
  file: '0',
  hardlink: '1',
  symlink: '2',
  character: '3',
  block: '4',
  directory: '5',
  fifo: '6',
} as const satisfies Record<TarEntryType, string>

/** The name of PAX headers themselves: what an extractor without PAX would create. */
const PAX_NAME = Buffer.from('PaxHeader')

/**
 * Encodes the header blocks of one member: a ustar header where everything fits into it exactly, with
 * a PAX header in front for what does not (long or non-ASCII names, large numbers, fractions of a
 * second, times before 1970, access and change times, xattrs). The same entry gives the same bytes.
 * `entry.size` bytes of payload for a `file`, then `tarPadding(size)`, must follow; other types have
 * no payload.
 *
 * Throws `invalidArgument` (STRATA_TAR_CANNOT_ENCODE) for names with a NUL and numbers that are not
 * integers or are negative where that means nothing.
 */
export function encodeTarHeader(entry: TarHeader): Buffer {
  const header = Buffer.alloc(BLOCK_BYTES)
  const records: Buffer[] = []
  const isLink = entry.type === 'symlink' || entry.type === 'hardlink'

  writePath(header, records, nameBytes(entry, entry.path))
  if (isLink) writeText(header, LINK_NAME, LINK_NAME[1], nameBytes(entry, entry.linkPath), 'linkpath', records)
  writeOctal(header, MODE, checked(entry, 'mode', entry.mode, 0, 0o7777))
  writeNumber(header, UID, checked(entry, 'uid', entry.uid), 'uid', records)
  writeNumber(header, GID, checked(entry, 'gid', entry.gid), 'gid', records)
  writeNumber(header, SIZE, entry.type === 'file' ? checked(entry, 'size', entry.size, 0) : 0, 'size', records)
  writeMtime(header, entry, records)
  header.write(TYPE_FLAG[entry.type], TYPE_OFFSET, 'latin1')
  header.write('ustar\x0000', MAGIC[0], 'latin1')
  // One byte less: POSIX wants these two to end with a NUL.
  writeText(header, USER_NAME, USER_NAME[1] - 1, nameBytes(entry, entry.userName), 'uname', records)
  writeText(header, GROUP_NAME, GROUP_NAME[1] - 1, nameBytes(entry, entry.groupName), 'gname', records)
  const largest = largestOctal(DEVICE_MAJOR)
  writeOctal(header, DEVICE_MAJOR, checked(entry, 'device', entry.device?.major ?? 0, 0, largest))
  writeOctal(header, DEVICE_MINOR, checked(entry, 'device', entry.device?.minor ?? 0, 0, largest))
  writeChecksum(header)

  if (entry.accessedAt !== undefined) records.push(paxRecord('atime', formatPaxTime(entry.accessedAt)))
  if (entry.changedAt !== undefined) records.push(paxRecord('ctime', formatPaxTime(entry.changedAt)))
  for (const [xattr, value] of entry.xattrs) {
    if (xattr === '' || xattr.includes('\0')) throw cannotEncode(entry, 'an xattr has no name or one with a NUL')
    records.push(paxRecord(xattrKeyword(xattr), value))
  }
  return records.length === 0 ? header : Buffer.concat([paxHeader(records), header])
}

/** The zeros between `size` bytes of payload and the next header. */
export function tarPadding(size: number): Buffer {
  return TAR_END.subarray(0, (BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES)
}

function paxHeader(records: Buffer[]): Buffer {
  // Keywords are told apart behind the length, so that "9 uid=…" does not come after "10 …".
  const payload = Buffer.concat(records.sort((a, b) => Buffer.compare(afterLength(a), afterLength(b))))
  const header = Buffer.alloc(BLOCK_BYTES)
  PAX_NAME.copy(header)
  writeOctal(header, MODE, 0o644)
  writeOctal(header, UID, 0)
  writeOctal(header, GID, 0)
  writeOctal(header, SIZE, payload.length)
  writeOctal(header, MTIME, 0)
  header.write('x', TYPE_OFFSET, 'latin1')
  header.write('ustar\x0000', MAGIC[0], 'latin1')
  writeChecksum(header)
  return Buffer.concat([header, payload, tarPadding(payload.length)])
}

function afterLength(record: Buffer): Buffer {
  return record.subarray(record.indexOf(0x20))
}

function writePath(header: Buffer, records: Buffer[], path: Buffer): void {
  if (!isAscii(path)) {
    // Readers take values for UTF-8 unless they are told that they are bytes.
    if (!isUtf8(path)) records.push(paxRecord('hdrcharset', 'BINARY'))
    records.push(paxRecord('path', path))
    path.copy(header, NAME[0], 0, NAME[1])
    return
  }
  if (path.length <= NAME[1]) {
    path.copy(header, NAME[0])
    return
  }
  // The longest prefix, and neither part empty.
  const slash = path.lastIndexOf(0x2f, PREFIX[1])
  if (slash > 0 && slash < path.length - 1 && path.length - slash - 1 <= NAME[1]) {
    path.copy(header, PREFIX[0], 0, slash)
    path.copy(header, NAME[0], slash + 1)
    return
  }
  records.push(paxRecord('path', path))
  path.copy(header, NAME[0], 0, NAME[1])
}

function writeText(header: Buffer, field: Field, limit: number, text: Buffer, keyword: string, records: Buffer[]): void {
  text.copy(header, field[0], 0, limit)
  if (text.length > limit || !isAscii(text)) records.push(paxRecord(keyword, text))
}

function writeNumber(header: Buffer, field: Field, value: number, keyword: string, records: Buffer[]): void {
  const fits = value >= 0 && value <= largestOctal(field)
  writeOctal(header, field, fits ? value : 0)
  if (!fits) records.push(paxRecord(keyword, String(value)))
}

function writeMtime(header: Buffer, entry: TarHeader, records: Buffer[]): void {
  const { seconds, nanoseconds } = entry.modifiedAt
  const fits = seconds >= 0 && seconds <= largestOctal(MTIME)
  writeOctal(header, MTIME, fits ? seconds : 0)
  checked(entry, 'mtime', seconds)
  if (!fits || checked(entry, 'mtime', nanoseconds, 0, 999_999_999) > 0) records.push(paxRecord('mtime', formatPaxTime(entry.modifiedAt)))
}

/** Octal digits with leading zeros, and a NUL in the last byte. */
function writeOctal(header: Buffer, [start, length]: Field, value: number): void {
  header.write(value.toString(8).padStart(length - 1, '0'), start, 'latin1')
}

function largestOctal([, length]: Field): number {
  return 8 ** (length - 1) - 1
}

function writeChecksum(header: Buffer): void {
  const [start, length] = CHECKSUM
  header.fill(0x20, start, start + length)
  let sum = 0
  for (let at = 0; at < BLOCK_BYTES; at += 1) sum += header[at]!
  // Six digits, a NUL and a space: POSIX has it so, unlike for the other numbers.
  header.write(`${sum.toString(8).padStart(length - 2, '0')}\0`, start, 'latin1')
}

function nameBytes(entry: TarHeader, name: string): Buffer {
  if (name.includes('\0')) throw cannotEncode(entry, 'a name has a NUL')
  return encodeFileName(name)
}

function checked(entry: TarHeader, what: string, value: number, least = Number.MIN_SAFE_INTEGER, most = Number.MAX_SAFE_INTEGER): number {
  if (!Number.isSafeInteger(value) || value < least || value > most) throw cannotEncode(entry, `its ${what} is ${value}`)
  return value
}

function cannotEncode(entry: TarHeader, state: string): StrataError {
  return new StrataError(
    'invalidArgument',
    'STRATA_TAR_CANNOT_ENCODE',
    `Cannot write "${entry.path.replaceAll('\0', '\\0')}" to a tar archive: ${state}`,
  )
}
