import { crc32, createGunzip, createInflateRaw } from 'node:zlib'
import { CHUNK_BYTES } from '../base/index.ts'
import { corrupt, truncated } from './failures.ts'
import type { Inflated, Inflater } from './inflater.ts'
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
 * @param inflater what comes out is then lent: it is overwritten when the next is asked for
 */
export async function* gunzip(input: Input, inflater?: Inflater): AsyncGenerator<Uint8Array> {
  const inflate = inflater === undefined ? byZlib : by(inflater)
  yield* member(input, inflate)
  while (await isMember(input)) {
    if (inflater !== undefined) yield* member(input, inflate)
    else {
      yield* transformed(createGunzip({ chunkSize: CHUNK_BYTES }), { next: () => input.next() })
      return
    }
  }
}

/** Inflates raw deflate data and leaves what is behind it in the input; gives the CRC-32 of what came out. */
type RawDecoder = (input: Input) => AsyncGenerator<Uint8Array, number>

async function* member(input: Input, inflate: RawDecoder): AsyncGenerator<Uint8Array> {
  await skipHeader(input)
  let size = 0
  const inflated = inflate(input)
  try {
    for (;;) {
      const next = await inflated.next()
      if (next.done === true) return await checkTrailer(input, { crc: next.value, size })
      size = (size + next.value.length) >>> 0
      yield next.value
    }
  } finally {
    await inflated.return(0)
  }
}

async function checkTrailer(input: Input, { crc, size }: { readonly crc: number; readonly size: number }): Promise<void> {
  const trailer = await input.exactly(8)
  if (trailer === undefined) throw truncated('gzip')
  const view = new DataView(trailer.buffer, trailer.byteOffset, 8)
  if (view.getUint32(0, true) !== crc || view.getUint32(4, true) !== size) throw corrupt('gzip', 'its checksum does not match')
}

async function isMember(input: Input): Promise<boolean> {
  const next = await input.peek(3)
  return next[0] === 0x1f && (next[1] ?? 0x8b) === 0x8b && (next[2] ?? 8) === 8
}

async function* byZlib(input: Input): AsyncGenerator<Uint8Array, number> {
  const feed = { next: () => input.next(), unread: (bytes: Uint8Array) => input.unread(bytes) }
  let crc = 0
  for await (const chunk of transformed(createInflateRaw({ chunkSize: CHUNK_BYTES }), feed)) {
    crc = crc32(chunk, crc)
    yield chunk
  }
  return crc
}

/** What an inflater writes into, for one stream after another: of many small layers V8 would collect little else. */
const outputsOf = new WeakMap<Inflater, readonly [Buffer, Buffer]>()

/** Two outputs take turns: while one is looked at, the next is made. */
function by(inflater: Inflater): RawDecoder {
  const outputs = outputsOf.get(inflater) ?? [Buffer.allocUnsafeSlow(OUTPUT_BYTES), Buffer.allocUnsafeSlow(OUTPUT_BYTES)]
  outputsOf.set(inflater, outputs)
  return async function* (input) {
    inflater.reset()
    let [output, other] = outputs
    let filling = begin(input, inflater, output)
    try {
      for (;;) {
        const { written, ended, crc } = await filling
        const filled = output.subarray(0, written)
        if (!ended) filling = begin(input, inflater, other)
        if (written > 0) yield filled
        if (ended) return crc
        ;[output, other] = [other, output]
      }
    } finally {
      // Nobody takes the buffers from under the thread that fills them.
      await filling.catch(() => undefined)
    }
  }
}

/** Begins to fill an output; what goes wrong is told to whoever waits for it, which may be later. */
function begin(input: Input, inflater: Inflater, output: Uint8Array): Promise<Omit<Inflated, 'left'>> {
  const filling = fill(input, inflater, output)
  filling.catch(() => undefined)
  return filling
}

/** Inflates until the output is full or the data ends. */
async function fill(input: Input, inflater: Inflater, output: Uint8Array): Promise<Omit<Inflated, 'left'>> {
  for (let size = 0; ;) {
    const bytes = await input.next()
    if (bytes === undefined) throw truncated('gzip')
    const { written, left, ended, crc } = await inflater.inflate(bytes, output.subarray(size))
    size += written
    input.unread(left)
    if (ended || size === output.length) return { written: size, ended, crc }
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
