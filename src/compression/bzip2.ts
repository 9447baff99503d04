import { CHUNK_BYTES } from '../base/index.ts'
import { BitReader, type BlockContent, readBlock } from './bzip2Block.ts'
import { corrupt, truncated } from './failures.ts'
import type { Input } from './input.ts'

/*
 * A bzip2 stream: "BZh" and a digit, the block size in units of 100,000 bytes; blocks, each with a CRC
 * over its content; an end mark and a CRC over the blocks' CRCs. Blocks follow each other without
 * alignment. Streams follow each other on whole bytes.
 *
 * The decoder is our own: the packages on npm keep a whole block's output as one array of numbers
 * (400 MB for a run of zeros), or the whole file.
 */

const BLOCK_MARK = [0x314159, 0x265359] as const
const END_MARK = [0x177245, 0x385090] as const
const UNIT = 100_000

/** Decompresses bzip2: any number of streams; what follows them is skipped. */
export async function* bunzip2(input: Input): AsyncGenerator<Uint8Array> {
  for (;;) {
    const start = (await input.peek(4)).subarray(0, 4)
    if (!isStreamStart(start)) return
    if (start.length < 4) throw truncated('bzip2')
    input.skip(4)
    yield* stream(input, start[3]! - 0x30)
  }
}

/** Tells whether a stream begins here, also when the input ends inside its first four bytes. */
function isStreamStart(bytes: Uint8Array): boolean {
  const level = bytes[3] ?? 0x39
  return bytes.length > 0 && [0x42, 0x5a, 0x68].every((byte, at) => (bytes[at] ?? byte) === byte) && level >= 0x31 && level <= 0x39
}

async function* stream(input: Input, level: number): AsyncGenerator<Uint8Array> {
  const blockBytes = level * UNIT
  // What a block has at most: 20 bits a symbol, and its tables.
  const mostInput = Math.ceil((blockBytes * 20) / 8) + 64 * 1024
  const table = new Uint32Array(blockBytes)
  let bit = 0
  let combined = 0
  for (;;) {
    const bytes = await input.peek(mostInput)
    const bits = new BitReader(bytes, bit)
    const mark = [bits.read(24), bits.read(24)] as const
    const crc = ((bits.read(16) << 16) | bits.read(16)) >>> 0
    if (mark[0] === END_MARK[0] && mark[1] === END_MARK[1]) {
      if (crc !== combined) throw corrupt('bzip2', 'its checksum does not match')
      input.skip(Math.ceil(bits.position / 8))
      return
    }
    if (mark[0] !== BLOCK_MARK[0] || mark[1] !== BLOCK_MARK[1]) throw corrupt('bzip2', 'a block header is wrong')
    const block = blockOf(bits, table)
    input.skip(bits.position >> 3)
    bit = bits.position & 7
    for (;;) {
      const chunk = Buffer.allocUnsafe(CHUNK_BYTES)
      const filled = block.fill(chunk)
      if (filled > 0) yield chunk.subarray(0, filled)
      if (filled < chunk.length) break
    }
    if (block.crc !== crc) throw corrupt('bzip2', 'its checksum does not match')
    combined = (((combined << 1) | (combined >>> 31)) ^ crc) >>> 0
  }
}

function blockOf(bits: BitReader, table: Uint32Array): BlockContent {
  try {
    return readBlock(bits, table)
  } catch (error) {
    // Zeros behind the end may look like anything.
    throw bits.isAtEnd() ? truncated('bzip2', error) : error
  }
}
