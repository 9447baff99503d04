import { decodeFileName, encodeFileName } from '../base/index.ts'
import { saturate } from './block.ts'
import type { Timestamp } from './entry.ts'

/*
 * PAX extended headers: records of "<length> <keyword>=<value>\n", POSIX pax(1) "pax Extended Header".
 * Values are bytes: an xattr holds anything, newlines and NULs too.
 */

const SCHILY_XATTR = 'SCHILY.xattr.'
const LIBARCHIVE_XATTR = 'LIBARCHIVE.xattr.'
const NEWLINE = 0x0a

/** What the PAX header of one member says; what it does not say is undefined. */
export interface PaxAttributes {
  path?: string
  linkPath?: string
  userName?: string
  groupName?: string
  uid?: number
  gid?: number
  size?: number
  modifiedAt?: Timestamp
  accessedAt?: Timestamp
  changedAt?: Timestamp
  xattrs?: Map<string, Uint8Array>
  sparse?: SparseRecords
}

/** The GNU.sparse.* records, all three versions. */
export interface SparseRecords {
  major?: string
  minor?: string
  name?: string
  size?: string
  realSize?: string
  count?: string
  map?: string
  /** Offset, size, offset, size … from the repeated records of version 0.0. */
  pairs?: string[]
}

/**
 * Parses the payload of a PAX header. A record with an empty value takes back an earlier one.
 * Throws `state` through `fail` when a record is not as POSIX has it or a value is out of range.
 */
export function parsePax(payload: Buffer, fail: (state: string) => Error): PaxAttributes {
  const attributes: PaxAttributes = {}
  let at = 0
  while (at < payload.length) {
    let length = 0
    let start = at
    for (; ; start += 1) {
      const digit = payload[start] ?? -1
      if (digit === 0x20 && start > at) break
      if (digit < 0x30 || digit > 0x39 || start - at > 9) throw fail('has a PAX record without a length')
      length = length * 10 + digit - 0x30
    }
    const end = at + length
    if (end > payload.length || start + 2 >= end || payload[end - 1] !== NEWLINE) throw fail('has a PAX record with a wrong length')
    const equals = payload.indexOf(0x3d, start + 1)
    if (equals === -1 || equals >= end || equals === start + 1) throw fail('has a PAX record without a keyword')
    setRecord(attributes, payload.subarray(start + 1, equals), payload.subarray(equals + 1, end - 1), fail)
    at = end
  }
  return attributes
}

function setRecord(attributes: PaxAttributes, keywordBytes: Buffer, value: Buffer, fail: (state: string) => Error): void {
  const keyword = keywordBytes.toString('latin1')
  switch (keyword) {
    case 'path':
      return set(attributes, 'path', name(value))
    case 'linkpath':
      return set(attributes, 'linkPath', name(value))
    case 'uname':
      return set(attributes, 'userName', name(value))
    case 'gname':
      return set(attributes, 'groupName', name(value))
    case 'uid':
      return set(attributes, 'uid', integer(value))
    case 'gid':
      return set(attributes, 'gid', integer(value))
    case 'size':
      return set(attributes, 'size', integer(value))
    case 'mtime':
      return set(attributes, 'modifiedAt', time(value))
    case 'atime':
      return set(attributes, 'accessedAt', time(value))
    case 'ctime':
      return set(attributes, 'changedAt', time(value))
    default:
  }
  if (keyword.includes('\0')) throw fail('has a PAX keyword with a NUL')
  if (keyword.startsWith(SCHILY_XATTR)) {
    const xattrs = (attributes.xattrs ??= new Map())
    xattrs.set(unescapeXattrName(keywordBytes.subarray(SCHILY_XATTR.length)), Buffer.from(value))
  } else if (keyword.startsWith(LIBARCHIVE_XATTR)) {
    const xattrs = (attributes.xattrs ??= new Map())
    const xattr = unescapeUrl(keywordBytes.subarray(LIBARCHIVE_XATTR.length))
    // libarchive writes both forms; the plain one is the one that everybody else reads.
    if (!xattrs.has(xattr)) xattrs.set(xattr, Buffer.from(value.toString('latin1'), 'base64'))
  } else if (keyword.startsWith('GNU.sparse.')) {
    setSparseRecord((attributes.sparse ??= {}), keyword.slice('GNU.sparse.'.length), value, fail)
  }

  function name(bytes: Buffer): string | undefined {
    if (bytes.includes(0)) throw fail(`has a PAX ${keyword} with a NUL`)
    return bytes.length === 0 ? undefined : decodeFileName(bytes)
  }

  function integer(bytes: Buffer): number | undefined {
    if (bytes.length === 0) return undefined
    const parsed = parseDecimal(bytes.toString('latin1'))
    if (parsed === undefined) throw fail(`has a PAX ${keyword} that is not a number`)
    return parsed
  }

  function time(bytes: Buffer): Timestamp | undefined {
    if (bytes.length === 0) return undefined
    const parsed = parsePaxTime(bytes.toString('latin1'))
    if (parsed === undefined) throw fail(`has a PAX ${keyword} that is not a time`)
    return parsed
  }
}

function set<K extends keyof PaxAttributes>(attributes: PaxAttributes, key: K, value: PaxAttributes[K] | undefined): void {
  if (value === undefined) delete attributes[key]
  else attributes[key] = value
}

function setSparseRecord(records: SparseRecords, key: string, value: Buffer, fail: (state: string) => Error): void {
  const text = value.toString('latin1')
  switch (key) {
    case 'major':
      records.major = text
      break
    case 'minor':
      records.minor = text
      break
    case 'name':
      if (value.includes(0)) throw fail('has a GNU.sparse.name with a NUL')
      records.name = decodeFileName(value)
      break
    case 'size':
      records.size = text
      break
    case 'realsize':
      records.realSize = text
      break
    case 'numblocks':
      records.count = text
      break
    case 'map':
      records.map = text
      break
    case 'offset':
    case 'numbytes': {
      const pairs = (records.pairs ??= [])
      if (pairs.length % 2 !== (key === 'offset' ? 0 : 1)) throw fail('has GNU.sparse records out of order')
      pairs.push(text)
      break
    }
    default:
  }
}

/** Parses a signed 64-bit decimal; saturates at the safe integers; undefined for anything else. */
export function parseDecimal(text: string): number | undefined {
  if (!/^[+-]?[0-9]{1,32}$/.test(text)) return undefined
  const number = Number(text)
  return Number.isSafeInteger(number) ? number + 0 : saturate(BigInt(text.startsWith('+') ? text.slice(1) : text))
}

/** Parses "-1.5" into {-2 s, 500,000,000 ns}; digits beyond the nanosecond are cut off. */
export function parsePaxTime(text: string): Timestamp | undefined {
  const point = text.indexOf('.')
  const whole = parseDecimal(point === -1 ? text : text.slice(0, point))
  if (whole === undefined) return undefined
  const fraction = point === -1 ? '' : text.slice(point + 1)
  if (/[^0-9]/.test(fraction)) return undefined
  const nanoseconds = Number(fraction.slice(0, 9).padEnd(9, '0'))
  if (!text.startsWith('-') || nanoseconds === 0) return { seconds: whole === 0 ? 0 : whole, nanoseconds }
  return { seconds: whole - 1, nanoseconds: 1e9 - nanoseconds }
}

/** The PAX form of a time: a decimal number without trailing zeros. */
export function formatPaxTime({ seconds, nanoseconds }: Timestamp): string {
  if (nanoseconds === 0) return String(seconds)
  const negative = seconds < 0
  const whole = negative ? -(seconds + 1) : seconds
  const fraction = String(negative ? 1e9 - nanoseconds : nanoseconds)
    .padStart(9, '0')
    .replace(/0+$/, '')
  return `${negative ? '-' : ''}${whole}.${fraction}`
}

/**
 * One record. The length counts itself.
 */
export function paxRecord(keyword: Uint8Array | string, value: Uint8Array | string): Buffer {
  const key = typeof keyword === 'string' ? Buffer.from(keyword) : keyword
  const content = typeof value === 'string' ? Buffer.from(value) : value
  const rest = key.length + content.length + 3
  let length = rest + 1
  while (length < rest + String(length).length) length += 1
  return Buffer.concat([Buffer.from(`${length} `), key, Buffer.of(0x3d), content, Buffer.of(NEWLINE)])
}

/** The keyword of an xattr: GNU tar writes `=`, which would end the keyword, as %3D, and % as %25. */
export function xattrKeyword(xattr: string): Buffer {
  return encodeFileName(SCHILY_XATTR + xattr.replaceAll('%', '%25').replaceAll('=', '%3D'))
}

function unescapeXattrName(bytes: Buffer): string {
  return decodeFileName(bytes).replaceAll(/%3D|%25/g, escape => (escape === '%25' ? '%' : '='))
}

function unescapeUrl(bytes: Buffer): string {
  const text = bytes.toString('latin1').replaceAll(/%[0-9a-fA-F]{2}/g, escape => String.fromCharCode(Number.parseInt(escape.slice(1), 16)))
  return decodeFileName(Buffer.from(text, 'latin1'))
}
