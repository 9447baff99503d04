import { crc32, createGunzip, createInflateRaw } from 'node:zlib'
import { CHUNK_BYTES } from '../base/index.ts'
import { corrupt, truncated } from './failures.ts'
import type { Inflater } from './inflater.ts'
import type { Input } from './input.ts'
import { transformed } from './transform.ts'

/* RFC 1952: members one behind the other, each a header, deflate data, CRC-32 and size modulo 2^32. */

const HAS_CRC = 2
const HAS_EXTRA = 4
const HAS_NAME = 8
const HAS_COMMENT = 16
const RESERVED = 0xe0
/** Each piece of output costs an exchange between two threads, so they are larger than elsewhere. */
const OUTPUT_BYTES = 2 * CHUNK_BYTES

/**
 * Decompresses gzip. A member is inflated here so that bytes behind it are seen: another member, or trailing garbage,
 * which is skipped. Further members go through Gunzip where there is no `inflater`, since it is many times faster for
 * many small ones (a stargz layer has one per file); behind those only zeros may follow.
 *
 * @param inflater what comes out is then lent: it is overwritten when the next but one is asked for
 */
export async function* gunzip(input: Input, inflater?: Inflater): AsyncGenerator<Uint8Array> {
  if (inflater !== undefined) {
    const decode = rawBy(inflater)
    do yield* member(input, decode)
    while (await isMember(input))
    return
  }
  yield* member(input, rawByZlib)
  if (await isMember(input)) yield* transformed(createGunzip({ chunkSize: CHUNK_BYTES }), { next: () => input.next() })
}

/** Inflates raw deflate data, and leaves what is behind it in the input. */
type RawDecoder = (input: Input) => AsyncIterable<Uint8Array>

async function* member(input: Input, decode: RawDecoder): AsyncGenerator<Uint8Array> {
  await skipHeader(input)
  let crc = 0
  let size = 0
  for await (const chunk of decode(input)) {
    crc = crc32(chunk, crc)
    size = (size + chunk.length) >>> 0
    yield chunk
  }
  const trailer = await input.exactly(8)
  if (trailer === undefined) throw truncated('gzip')
  const view = new DataView(trailer.buffer, trailer.byteOffset, 8)
  if (view.getUint32(0, true) !== crc || view.getUint32(4, true) !== size) throw corrupt('gzip', 'its checksum does not match')
}

async function isMember(input: Input): Promise<boolean> {
  const next = await input.peek(3)
  return next[0] === 0x1f && (next[1] ?? 0x8b) === 0x8b && (next[2] ?? 8) === 8
}

function rawByZlib(input: Input): AsyncIterable<Uint8Array> {
  return transformed(createInflateRaw({ chunkSize: CHUNK_BYTES }), {
    next: () => input.next(),
    unread: bytes => input.unread(bytes),
  })
}

/** Two outputs take turns: while one is looked at, the next is made. */
function rawBy(inflater: Inflater): RawDecoder {
  const outputs = [Buffer.allocUnsafeSlow(OUTPUT_BYTES), Buffer.allocUnsafeSlow(OUTPUT_BYTES)] as const
  return async function* (input) {
    inflater.reset()
    let [output, other] = outputs
    let filling = fill(input, inflater, output)
    try {
      for (;;) {
        const { size, ended } = await filling
        const filled = output.subarray(0, size)
        if (!ended) filling = fill(input, inflater, other)
        if (size > 0) yield filled
        if (ended) return
        ;[output, other] = [other, output]
      }
    } finally {
      // Nobody takes the buffers from under the thread that fills them.
      await filling.catch(() => undefined)
    }
  }
}

async function fill(input: Input, inflater: Inflater, output: Uint8Array): Promise<{ readonly size: number; readonly ended: boolean }> {
  for (let size = 0; ;) {
    const bytes = await input.next()
    if (bytes === undefined) throw truncated('gzip')
    const { written, left, ended } = await inflater.inflate(bytes, output.subarray(size))
    size += written
    input.unread(left)
    if (ended || size === output.length) return { size, ended }
  }
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
