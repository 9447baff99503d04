import { isStrataError, StrataError } from '../base/index.ts'
import type { Compression } from './detect.ts'

/** The input ends inside compressed data. */
export function truncated(format: Compression, cause?: unknown): StrataError {
  return new StrataError('dataLoss', 'STRATA_COMPRESSED_TRUNCATED', `Cannot decompress ${format} data: it ends too early`, {
    ...(cause === undefined ? {} : { cause }),
    hint: 'The file or the download is incomplete: get it again.',
  })
}

/** The input is not what its first bytes promise. */
export function corrupt(format: Compression, state: string, cause?: unknown): StrataError {
  return new StrataError(
    'dataLoss',
    'STRATA_COMPRESSED_CORRUPT',
    `Cannot decompress ${format} data: ${state}`,
    cause === undefined ? {} : { cause },
  )
}

/** Decompressing costs more than the limits allow. */
export function overLimit(format: Compression, state: string): StrataError {
  return new StrataError('resourceExhausted', 'STRATA_DECOMPRESSION_LIMIT', `Cannot decompress ${format} data: ${state}`)
}

/** The input is valid but the decoder cannot do it. */
export function unsupported(format: Compression, state: string, hint: string): StrataError {
  return new StrataError('unsupported', 'STRATA_COMPRESSION_UNSUPPORTED', `Cannot decompress ${format} data: ${state}`, { hint })
}

/** What a decoder's error means; errors of the source and of ourselves stay what they are. */
export function decoderFailure(format: Compression, error: unknown, sourceError: unknown): unknown {
  if (isStrataError(error) || error === sourceError) return error
  if (error instanceof Error && 'code' in error && error.code === 'Z_BUF_ERROR') return truncated(format, error)
  return corrupt(format, 'it is damaged', error)
}
