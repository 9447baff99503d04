import { type ByteStream, release } from '../base/index.ts'
import { type Compression, detectCompression, MAGIC_BYTES } from './detect.ts'
import { decoderFailure, overLimit } from './failures.ts'
import { gunzip } from './gzip.ts'
import type { Inflater } from './inflater.ts'
import { Input } from './input.ts'
import { unzstd } from './zstd.ts'

/** Bounds on what a compressed stream may cost; more rejects with `resourceExhausted` (STRATA_DECOMPRESSION_LIMIT). */
export interface DecompressLimits {
  /** Bytes of output. Default: none, since memory does not grow with it. */
  readonly outputBytes?: number
  /** Output bytes per input byte, looked at past 16 MiB of output. Default: none; zeros may have 10,000. */
  readonly ratio?: number
  /** Largest window of a zstd frame or an xz block, in bytes. Default 128 MiB, which is also the zstd command's. */
  readonly windowBytes?: number
}

export interface DecompressOptions {
  readonly limits?: DecompressLimits
  /** The memory of what comes out is given back when the next chunk is asked for. */
  readonly lent?: boolean
  /** Inflates gzip instead of node:zlib; nothing else uses it meanwhile. What comes out is lent then. */
  readonly inflater?: Inflater | undefined
}

const DEFAULT_WINDOW_BYTES = 128 * 1024 * 1024
/** Small outputs say nothing about a ratio, and do no harm. */
const RATIO_FREE_BYTES = 16 * 1024 * 1024

/**
 * Decompresses gzip, zstd, xz and bzip2, told apart by their first bytes; anything else passes
 * unchanged. Several members, frames or streams in a row are one content; what follows the last one is
 * read and skipped, as dockerd skips it. Decoders run in this process: no program is executed.
 *
 * A chunk of `bytes` is not used any more once the next is asked for.
 *
 * Rejects with `dataLoss` when the input is damaged (STRATA_COMPRESSED_CORRUPT) or ends too early
 * (STRATA_COMPRESSED_TRUNCATED), with `resourceExhausted` past a limit, and with what `bytes` rejects with.
 */
export async function* decompress(bytes: ByteStream, options: DecompressOptions = {}): AsyncGenerator<Uint8Array> {
  const { limits = {}, lent = false, inflater } = options
  const { outputBytes = Infinity, ratio = Infinity, windowBytes = DEFAULT_WINDOW_BYTES } = limits
  const input = new Input(bytes)
  let format: Compression = 'none'
  let size = 0
  try {
    format = detectCompression(await input.peek(MAGIC_BYTES))
    for await (const chunk of decode(format, input, { windowBytes, inflater })) {
      size += chunk.length
      if (size > outputBytes) throw overLimit(format, `it has more than ${outputBytes} bytes`)
      if (size > RATIO_FREE_BYTES && size > ratio * input.bytesRead)
        throw overLimit(format, `it grows to more than ${ratio} times its size`)
      yield chunk
      if (lent && isOurs(format, inflater)) release(chunk)
    }
    await input.drain()
  } catch (error) {
    throw decoderFailure(format, error, input.sourceError)
  } finally {
    await input.close()
  }
}

/** Tells whether what comes out is nobody else's and not used again. */
function isOurs(format: Compression, inflater: Inflater | undefined): boolean {
  return format === 'gzip' ? inflater === undefined : format !== 'none'
}

interface DecoderOptions {
  readonly windowBytes: number
  readonly inflater: Inflater | undefined
}

function decode(format: Compression, input: Input, { windowBytes, inflater }: DecoderOptions): AsyncIterable<Uint8Array> {
  switch (format) {
    case 'none':
      return plain(input)
    case 'gzip':
      return gunzip(input, inflater)
    case 'zstd':
      return unzstd(input, windowBytes)
    // Rare, and they cost start-up time: nobody else loads them.
    case 'xz':
      return loaded(import('./xz.ts').then(({ unxz }) => unxz(input, windowBytes)))
    case 'bzip2':
      return loaded(import('./bzip2.ts').then(({ bunzip2 }) => bunzip2(input)))
    default:
      return format satisfies never
  }
}

async function* plain(input: Input): AsyncGenerator<Uint8Array> {
  for (;;) {
    const bytes = await input.next()
    if (bytes === undefined) return
    yield bytes
  }
}

async function* loaded(decoder: Promise<AsyncIterable<Uint8Array>>): AsyncGenerator<Uint8Array> {
  yield* await decoder
}
