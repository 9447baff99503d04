import { StrataError } from '../base/index.ts'
import {
  DEVICE_MAJOR,
  DEVICE_MINOR,
  type Dialect,
  type Field,
  GID,
  GNU_ATIME,
  GNU_CTIME,
  GROUP_NAME,
  type HeaderBlock,
  LINK_NAME,
  malformed,
  MODE,
  MTIME,
  NAME,
  PREFIX,
  RepeatedText,
  SIZE,
  STAR_ATIME,
  STAR_CTIME,
  STAR_PREFIX,
  UID,
  USER_NAME,
} from './block.ts'
import type { TarEntry, TarEntryType, Timestamp } from './entry.ts'
import type { PaxAttributes } from './pax.ts'

/** An entry under construction. */
export type Draft = { -readonly [K in keyof TarEntry]: TarEntry[K] }

/** What came in headers of their own before the header of a member, and overrides it. */
export interface Extension {
  readonly pax?: PaxAttributes
  readonly longName?: string | undefined
  readonly longLink?: string | undefined
}

const NO_XATTRS: ReadonlyMap<string, Uint8Array> = new Map()

/** Makes entries of header blocks: which field counts in which dialect, and what overrides it. */
export class MemberHeader {
  readonly #block: HeaderBlock
  readonly #userName = new RepeatedText(USER_NAME)
  readonly #groupName = new RepeatedText(GROUP_NAME)
  #offset = 0

  /** @param block the block that the parser fills; `read` looks at what it holds then */
  constructor(block: HeaderBlock) {
    this.#block = block
  }

  /**
   * Reads the header block of a member.
   *
   * @param offset where the member starts in the archive, for errors and the entry
   * @param dataOffset where its payload starts
   */
  read(typeFlag: string, extension: Extension, [offset, dataOffset]: readonly [offset: number, dataOffset: number]): Draft {
    this.#offset = offset
    const block = this.#block
    const dialect = block.dialect()
    const { pax } = extension
    const path = extension.longName ?? pax?.path ?? this.#path(dialect)
    const type = this.#type(typeFlag, path)
    // PAX first, for the listing and for finding the next header alike: whoever lets the two disagree
    // lets an archive hide members (CVE-2025-62518).
    const stored = pax?.size ?? this.number(SIZE, 'size')
    if (stored < 0) throw malformed(offset, 'has a negative size')
    // A link, directory or device has no payload whatever its size field says: old tars put the size of
    // the target there.
    const storedSize = type === 'file' ? stored : 0
    const isLink = type === 'symlink' || type === 'hardlink'
    const draft: Draft = {
      type,
      path,
      linkPath: isLink ? (extension.longLink ?? pax?.linkPath ?? block.text(LINK_NAME)) : '',
      mode: this.#mode(),
      uid: pax?.uid ?? this.number(UID, 'uid'),
      gid: pax?.gid ?? this.number(GID, 'gid'),
      userName: pax?.userName ?? (dialect === 'v7' ? '' : this.#userName.read(block)),
      groupName: pax?.groupName ?? (dialect === 'v7' ? '' : this.#groupName.read(block)),
      size: storedSize,
      modifiedAt: pax?.modifiedAt ?? { seconds: this.number(MTIME, 'mtime'), nanoseconds: 0 },
      xattrs: pax?.xattrs ?? NO_XATTRS,
      headerOffset: offset,
      dataOffset,
      storedSize,
    }
    const accessedAt = pax?.accessedAt ?? this.#time(dialect, GNU_ATIME, STAR_ATIME)
    if (accessedAt !== undefined) draft.accessedAt = accessedAt
    const changedAt = pax?.changedAt ?? this.#time(dialect, GNU_CTIME, STAR_CTIME)
    if (changedAt !== undefined) draft.changedAt = changedAt
    if (type === 'character' || type === 'block') {
      // v7 has no fields for it.
      const number = (field: Field): number => (dialect === 'v7' ? 0 : this.number(field, 'device'))
      draft.device = { major: number(DEVICE_MAJOR), minor: number(DEVICE_MINOR) }
    }
    return draft
  }

  #type(typeFlag: string, path: string): TarEntryType {
    switch (typeFlag) {
      case '0':
      case '7': // contiguous file
      case 'S': // sparse file
        return 'file'
      case '\0': // v7, which has no type for directories
        return path.endsWith('/') ? 'directory' : 'file'
      case '1':
        return 'hardlink'
      case '2':
        return 'symlink'
      case '3':
        return 'character'
      case '4':
        return 'block'
      case '5':
        return 'directory'
      case '6':
        return 'fifo'
      default: {
        const shown = /^[!-~]$/.test(typeFlag) ? `"${typeFlag}"` : `0x${typeFlag.charCodeAt(0).toString(16).padStart(2, '0')}`
        throw new StrataError(
          'unsupported',
          'STRATA_TAR_TYPE',
          `Cannot read tar archive: the member at byte ${this.#offset} has the unknown type ${shown}`,
        )
      }
    }
  }

  #path(dialect: Dialect): string {
    const name = this.#block.text(NAME)
    const prefix = this.#prefix(dialect)
    return prefix === '' ? name : `${prefix}/${name}`
  }

  #prefix(dialect: Dialect): string {
    switch (dialect) {
      case 'ustar':
        return this.#block.text(PREFIX)
      case 'star':
        return this.#block.text(STAR_PREFIX)
      case 'gnu': {
        if (this.#gnuTimesAreTimes()) return ''
        // Go before 1.8 wrote the prefix of ustar into GNU headers, where times belong; layers of old
        // images have it (golang/go#21005, moby/moby#34092).
        const prefix = this.#block.text(PREFIX)
        return /^[\0-\x7f]*$/.test(prefix) ? prefix : ''
      }
      default:
        return ''
    }
  }

  #gnuTimesAreTimes(): boolean {
    const { bytes } = this.#block
    const isTime = (field: Field): boolean => bytes[field[0]] === 0 || this.#block.number(field) !== undefined
    return isTime(GNU_ATIME) && isTime(GNU_CTIME)
  }

  #time(dialect: Dialect, gnu: Field, star: Field): Timestamp | undefined {
    if (dialect !== 'gnu' && dialect !== 'star') return undefined
    const field = dialect === 'gnu' ? gnu : star
    if (this.#block.bytes[field[0]] === 0 || (dialect === 'gnu' && !this.#gnuTimesAreTimes())) return undefined
    return { seconds: this.number(field, 'time'), nanoseconds: 0 }
  }

  #mode(): number {
    const mode = this.number(MODE, 'mode')
    const { bytes } = this.#block
    const end = MODE[0] + MODE[1]
    // The low bits of a number that is too large to be exact.
    return (Math.abs(mode) < Number.MAX_SAFE_INTEGER ? mode : bytes.readUInt16BE(end - 2)) & 0o7777
  }

  /** The number in a field; throws when it is not one. */
  number(field: Field, what: string): number {
    const value = this.#block.number(field)
    if (value === undefined) throw malformed(this.#offset, `has a ${what} that is not a number`)
    return value
  }
}
