import { TarParser, type TarEntry, type TarLimits } from '../../src/tar/index.ts'

/** A little language for archives that no sane writer makes: every field is set as bytes. */
export interface RawHeader {
  readonly name?: string | Buffer
  readonly mode?: string | Buffer
  readonly uid?: string | Buffer
  readonly gid?: string | Buffer
  readonly size?: number | string | Buffer
  readonly mtime?: string | Buffer
  readonly type?: string
  readonly link?: string
  readonly magic?: 'ustar' | 'gnu' | 'v7'
  readonly prefix?: string
  /** Bytes at any offset, written last but for the checksum. */
  readonly patch?: readonly (readonly [offset: number, bytes: string | Buffer])[]
  /** Written instead of the right checksum. */
  readonly checksum?: string
}

const MAGIC = { ustar: 'ustar\x0000', gnu: 'ustar  \0', v7: '' } as const

export function rawHeader(fields: RawHeader): Buffer {
  const block = Buffer.alloc(512)
  const put = (at: number, value: string | Buffer): void =>
    void (typeof value === 'string' ? block.write(value, at, 'latin1') : value.copy(block, at))
  put(0, fields.name ?? 'f')
  put(100, fields.mode ?? '0000644\0')
  put(108, fields.uid ?? '0000000\0')
  put(116, fields.gid ?? '0000000\0')
  put(124, typeof fields.size === 'number' ? `${fields.size.toString(8).padStart(11, '0')}\0` : (fields.size ?? '00000000000\0'))
  put(136, fields.mtime ?? '00000000000\0')
  put(156, fields.type ?? '0')
  put(157, fields.link ?? '')
  put(257, MAGIC[fields.magic ?? 'ustar'])
  put(345, fields.prefix ?? '')
  for (const [at, bytes] of fields.patch ?? []) put(at, bytes)
  block.fill(' ', 148, 156)
  const sum = block.reduce((total, byte) => total + byte, 0)
  put(148, fields.checksum ?? `${sum.toString(8).padStart(6, '0')}\0 `)
  return block
}

/** A member: header, payload and padding. The size field is that of the payload unless it is set. */
export function rawMember(fields: RawHeader, payload: string | Buffer = ''): Buffer {
  const bytes = Buffer.from(payload)
  return Buffer.concat([rawHeader({ size: bytes.length, ...fields }), padded(bytes)])
}

export function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)])
}

/** A PAX header (type x, or g for a global one) with these records. */
export function pax(records: readonly (readonly [keyword: string, value: string | Buffer])[], type: 'x' | 'g' = 'x'): Buffer {
  return rawMember({ name: 'PaxHeader', type }, Buffer.concat(records.map(([keyword, value]) => paxRecord(keyword, value))))
}

function paxRecord(keyword: string, value: string | Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${keyword}=`), Buffer.from(value), Buffer.from('\n')])
  let length = rest.length + 1
  while (String(length).length + rest.length !== length) length += 1
  return Buffer.concat([Buffer.from(String(length)), rest])
}

export const END: Buffer = Buffer.alloc(1024)

/** Big-endian two's complement with the marker bit, in a field of `length` bytes. */
export function base256(value: bigint, length: number): Buffer {
  const bytes = Buffer.alloc(length)
  for (let at = length - 1, rest = BigInt.asUintN(8 * length, value); at >= 0; at -= 1, rest >>= 8n) bytes[at] = Number(rest & 0xffn)
  bytes[0]! |= 0x80
  return bytes
}

export interface Listed {
  readonly entries: TarEntry[]
  /** Stored payload of each entry. */
  readonly payloads: Buffer[]
  /** All calls of raw and data, joined. */
  readonly bytes: Buffer
}

/** Runs the parser over an archive that comes in chunks of the given size. */
export function list(archive: Buffer, options: { limits?: TarLimits; chunkBytes?: number; open?: boolean } = {}): Listed {
  const entries: TarEntry[] = []
  const payloads: Buffer[][] = []
  const bytes: Uint8Array[] = []
  const parser = new TarParser(
    {
      entry: entry => {
        entries.push(entry)
        payloads.push([])
      },
      data: chunk => {
        payloads.at(-1)!.push(Buffer.from(chunk))
        bytes.push(chunk)
      },
      raw: chunk => void bytes.push(chunk),
    },
    options.limits,
  )
  const size = options.chunkBytes ?? archive.length
  for (let at = 0; at < archive.length; at += size) parser.write(archive.subarray(at, at + size))
  if (options.open !== true) parser.end()
  return { entries, payloads: payloads.map(chunks => Buffer.concat(chunks)), bytes: Buffer.concat(bytes) }
}
