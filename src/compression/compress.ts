import { promisify } from 'node:util'
import { constants, crc32, createZstdCompress, deflateRaw } from 'node:zlib'
import { type ByteStream, CHUNK_BYTES } from '../base/index.ts'
import { Input } from './input.ts'
import { transformed } from './transform.ts'

const deflate = promisify<Uint8Array, object, Buffer>(deflateRaw)

/** gzip input is cut into blocks of this size, which are deflated side by side. */
const BLOCK_BYTES = 1024 * 1024
/** Blocks under way at a time: libuv has four threads. */
const BLOCKS_AT_ONCE = 4
/** What deflate can look back: the end of one block is the dictionary of the next. RFC 1951 2 */
const DEFLATE_WINDOW_BYTES = 32 * 1024

/** RFC 1952 2.3: deflate, no flags, no time, nothing about the compressor, unknown system. */
const GZIP_HEADER = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff])
/** The last deflate block, an empty one. */
const LAST_DEFLATE_BLOCK = Buffer.from([0x03, 0x00])

/**
 * Compresses. The same bytes, format and level give the same result, however they are cut into chunks:
 * gzip has no name and no time.
 *
 * @param options.level 0 to 9 for gzip (default 6), 1 to 22 for zstd (default 3)
 */
export async function* compress(
  bytes: ByteStream,
  format: 'gzip' | 'zstd' | 'none',
  options: { readonly level?: number } = {},
): AsyncGenerator<Uint8Array> {
  switch (format) {
    case 'none':
      yield* bytes
      return
    case 'gzip':
      yield* gzip(bytes, options.level ?? 6)
      return
    case 'zstd':
      yield* zstd(bytes, options.level ?? 3)
      return
    default:
      format satisfies never
  }
}

async function* gzip(bytes: ByteStream, level: number): AsyncGenerator<Uint8Array> {
  const pending: Promise<Buffer>[] = []
  let dictionary: Uint8Array | undefined
  let crc = 0
  let size = 0
  yield GZIP_HEADER
  try {
    for await (const block of cut(bytes, BLOCK_BYTES)) {
      crc = crc32(block, crc)
      size = (size + block.length) >>> 0
      pending.push(
        deflate(block, {
          level,
          chunkSize: CHUNK_BYTES,
          finishFlush: constants.Z_SYNC_FLUSH,
          ...(dictionary === undefined ? {} : { dictionary }),
        }),
      )
      dictionary = block.subarray(-DEFLATE_WINDOW_BYTES)
      if (pending.length >= BLOCKS_AT_ONCE) yield await pending.shift()!
    }
    while (pending.length > 0) yield await pending.shift()!
  } finally {
    await Promise.allSettled(pending)
  }
  const trailer = Buffer.alloc(8)
  trailer.writeUInt32LE(crc, 0)
  trailer.writeUInt32LE(size, 4)
  yield Buffer.concat([LAST_DEFLATE_BLOCK, trailer])
}

async function* zstd(bytes: ByteStream, level: number): AsyncGenerator<Uint8Array> {
  const input = new Input(bytes)
  const params = { [constants.ZSTD_c_compressionLevel]: level, [constants.ZSTD_c_checksumFlag]: 1 }
  try {
    yield* transformed(createZstdCompress({ chunkSize: CHUNK_BYTES, params }), { next: () => input.next() })
  } finally {
    await input.close()
  }
}

/** Pieces of `size` bytes, the last one shorter; none is a view of a chunk that may be reused. */
async function* cut(bytes: ByteStream, size: number): AsyncGenerator<Buffer> {
  let block = Buffer.allocUnsafe(size)
  let filled = 0
  for await (const chunk of bytes) {
    for (let at = 0; at < chunk.length;) {
      const piece = chunk.subarray(at, at + size - filled)
      block.set(piece, filled)
      filled += piece.length
      at += piece.length
      if (filled < size) break
      yield block
      block = Buffer.allocUnsafe(size)
      filled = 0
    }
  }
  if (filled > 0) yield block.subarray(0, filled)
}
