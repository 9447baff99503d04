import { crc32, createGunzip, createInflateRaw } from 'node:zlib'
import { CHUNK_BYTES } from '../base/index.ts'
import { corrupt, truncated } from './failures.ts'
import type { Input } from './input.ts'
import { transformed } from './transform.ts'

/* RFC 1952: members one behind the other, each a header, deflate data, CRC-32 and size modulo 2^32. */

const HAS_CRC = 2
const HAS_EXTRA = 4
const HAS_NAME = 8
const HAS_COMMENT = 16
const RESERVED = 0xe0

/**
 * Decompresses gzip. The first member is inflated here so that bytes behind it are seen: another
 * member, or trailing garbage, which is skipped. Further members go through Gunzip, which is many times
 * faster for many small ones (a stargz layer has one per file); behind those only zeros may follow.
 */
export async function* gunzip(input: Input): AsyncGenerator<Uint8Array> {
  await skipHeader(input)
  let crc = 0
  let size = 0
  for await (const chunk of transformed(createInflateRaw({ chunkSize: CHUNK_BYTES }), {
    next: () => input.next(),
    unread: bytes => input.unread(bytes),
  })) {
    crc = crc32(chunk, crc)
    size = (size + chunk.length) >>> 0
    yield chunk
  }
  const trailer = await input.exactly(8)
  if (trailer === undefined) throw truncated('gzip')
  const view = new DataView(trailer.buffer, trailer.byteOffset, 8)
  if (view.getUint32(0, true) !== crc || view.getUint32(4, true) !== size) throw corrupt('gzip', 'its checksum does not match')

  const next = await input.peek(3)
  if (next[0] !== 0x1f || (next[1] ?? 0x8b) !== 0x8b || (next[2] ?? 8) !== 8) return
  yield* transformed(createGunzip({ chunkSize: CHUNK_BYTES }), { next: () => input.next() })
}

async function skipHeader(input: Input): Promise<void> {
  const header = await input.exactly(10)
  if (header === undefined) throw truncated('gzip')
  const flags = header[3]!
  if (header[2] !== 8 || (flags & RESERVED) !== 0) throw corrupt('gzip', 'its header has unknown flags')
  if ((flags & HAS_EXTRA) !== 0) {
    const length = await input.exactly(2)
    if (length === undefined || (await input.exactly(length[0]! + 256 * length[1]!)) === undefined) throw truncated('gzip')
  }
  if ((flags & HAS_NAME) !== 0) await skipText(input)
  if ((flags & HAS_COMMENT) !== 0) await skipText(input)
  if ((flags & HAS_CRC) !== 0 && (await input.exactly(2)) === undefined) throw truncated('gzip')
}

async function skipText(input: Input): Promise<void> {
  for (;;) {
    const bytes = await input.next()
    if (bytes === undefined) throw truncated('gzip')
    const nul = bytes.indexOf(0)
    if (nul === -1) continue
    input.unread(bytes.subarray(nul + 1))
    return
  }
}
