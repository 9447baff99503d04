import { createHash } from 'node:crypto'
import { type ByteStream, StrataError } from '../base/index.ts'
import { type Digest, digestAlgorithm, digestHex } from '../oci/index.ts'

/** Bytes as they must be. */
export interface ExpectedBytes {
  readonly digest: Digest
  readonly size: number
}

/**
 * Passes bytes on and verifies them to the last: whoever gets the last chunk has got what was expected,
 * because that chunk is held back until size and digest are right. Throws `dataLoss` with
 * STRATA_SIZE_MISMATCH or STRATA_DIGEST_MISMATCH.
 */
export async function* verified(bytes: ByteStream, expected: ExpectedBytes): AsyncGenerator<Uint8Array, void> {
  const hash = createHash(digestAlgorithm(expected.digest))
  let size = 0
  let held: Uint8Array | undefined
  for await (const chunk of bytes) {
    size += chunk.length
    if (size > expected.size) throw sizeMismatch(expected, `more than ${expected.size}`)
    if (held !== undefined) yield held
    hash.update(chunk)
    held = chunk
  }
  if (size !== expected.size) throw sizeMismatch(expected, size)
  const hex = hash.digest('hex')
  if (hex !== digestHex(expected.digest)) throw digestMismatch(expected.digest, `${digestAlgorithm(expected.digest)}:${hex}`)
  if (held !== undefined) yield held
}

/** Passes on all but the first `count` bytes. */
export async function* skipBytes(bytes: ByteStream, count: number): AsyncGenerator<Uint8Array, void> {
  let left = count
  for await (const chunk of bytes) {
    const skipped = Math.min(left, chunk.length)
    left -= skipped
    if (skipped < chunk.length) yield chunk.subarray(skipped)
  }
}

export function sizeMismatch(expected: ExpectedBytes, size: number | string): StrataError {
  return new StrataError(
    'dataLoss',
    'STRATA_SIZE_MISMATCH',
    `Cannot verify blob "${expected.digest}": it has ${size} bytes, expected ${expected.size}`,
  )
}

export function digestMismatch(expected: Digest, actual: string): StrataError {
  return new StrataError('dataLoss', 'STRATA_DIGEST_MISMATCH', `Cannot verify blob "${expected}": its digest is ${actual}`)
}
