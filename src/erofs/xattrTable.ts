import { StrataError } from '../base/index.ts'
import { XATTR_ENTRY_BYTES, XATTR_HEADER, XATTR_HEADER_BYTES, XATTR_PREFIXES } from './format.ts'
import { nameLength, sortedNames, writeName } from './names.ts'

/** Bytes of a value: the field has 16 bits. */
const VALUE_BYTES = 0xffff
const SHARED_IDS = 255
/** i_xattr_icount has 16 bits and counts words, one of them for the header. */
const BODY_BYTES = XATTR_HEADER_BYTES + 4 * 0xfffe

/** Tells whether an image can hold an xattr: its namespace must be one that EROFS knows. */
export function canHoldXattr(name: string, value: Uint8Array): boolean {
  const split = splitName(name)
  return split !== undefined && nameLength(split.rest) <= 255 && value.length <= VALUE_BYTES
}

interface Encoded {
  readonly bytes: Buffer
  /** Place among the shared ones in words, once more than one inode has it. */
  id: number
  count: number
}

/**
 * The xattrs of an image. Those that several inodes have stand once for all of them. First `add` all,
 * then `shared` lays out the common ones, then `bodyOf` gives what stands behind an inode.
 */
export class XattrTable {
  readonly #entries = new Map<string, Encoded>()
  readonly #sets = new Map<ReadonlyMap<string, Uint8Array>, readonly Encoded[]>()

  add(xattrs: ReadonlyMap<string, Uint8Array>): void {
    if (xattrs.size === 0) return
    const known = this.#sets.get(xattrs)
    if (known !== undefined) {
      for (const entry of known) entry.count += 1
      return
    }
    const set: Encoded[] = []
    for (const name of sortedNames(xattrs.keys())) {
      const bytes = encode(name, xattrs.get(name)!)
      const key = bytes.toString('latin1')
      const entry = this.#entries.get(key) ?? { bytes, id: -1, count: 0 }
      entry.count += 1
      this.#entries.set(key, entry)
      set.push(entry)
    }
    this.#sets.set(xattrs, set)
  }

  /** The bytes of what several inodes have. */
  shared(): Buffer {
    const parts: Buffer[] = []
    let words = 0
    for (const entry of this.#entries.values()) {
      if (entry.count < 2) continue
      entry.id = words
      words += entry.bytes.length / 4
      parts.push(entry.bytes)
    }
    return Buffer.concat(parts)
  }

  /** What stands behind an inode with these xattrs; nothing for none. */
  bodyOf(xattrs: ReadonlyMap<string, Uint8Array>): Buffer | undefined {
    const set = this.#sets.get(xattrs)
    if (set === undefined || set.length === 0) return undefined
    const shared = set.filter(({ id }) => id !== -1).slice(0, SHARED_IDS)
    const header = Buffer.alloc(XATTR_HEADER_BYTES + shared.length * 4)
    header[XATTR_HEADER.sharedCount] = shared.length
    for (const [n, { id }] of shared.entries()) header.writeUInt32LE(id, XATTR_HEADER_BYTES + n * 4)
    const inline = set.filter(entry => !shared.includes(entry)).map(({ bytes }) => bytes)
    const body = Buffer.concat([header, ...inline])
    if (body.length > BODY_BYTES) {
      throw new StrataError('unsupported', 'STRATA_EROFS_LIMIT', `Cannot write EROFS image: a file has ${body.length} bytes of xattrs`)
    }
    return body
  }
}

function encode(name: string, value: Uint8Array): Buffer {
  const split = splitName(name)
  if (split === undefined || !canHoldXattr(name, value)) {
    throw new StrataError('unsupported', 'STRATA_EROFS_LIMIT', `Cannot write EROFS image: it cannot hold the xattr ${JSON.stringify(name)}`)
  }
  const length = nameLength(split.rest)
  const bytes = Buffer.alloc((XATTR_ENTRY_BYTES + length + value.length + 3) & ~3)
  bytes[0] = length
  bytes[1] = split.index
  bytes.writeUInt16LE(value.length, 2)
  bytes.set(value, writeName(bytes, split.rest, XATTR_ENTRY_BYTES))
  return bytes
}

function splitName(name: string): { readonly index: number; readonly rest: string } | undefined {
  for (const [index, prefix] of XATTR_PREFIXES) {
    // A namespace has names in it; the ACLs are names themselves.
    const fits = prefix.endsWith('.') ? name.startsWith(prefix) && name.length > prefix.length : name === prefix
    if (fits) return { index, rest: name.slice(prefix.length) }
  }
  return undefined
}
