import { createHash } from 'node:crypto'
import { type ByteStream, StrataError } from '../base/index.ts'
import { decompress } from '../compression/index.ts'
import { type DiffId, parseDiffId } from '../oci/index.ts'

/**
 * Reads a layer blob, compressed or not, whose layer the store has already: nobody unpacks it, so nobody else would see
 * that it is another.
 *
 * Rejects with `dataLoss` (STRATA_DIFF_ID_MISMATCH).
 */
export async function verifyLayer(bytes: ByteStream, diffId: DiffId): Promise<void> {
  const sha = createHash('sha256')
  for await (const chunk of decompress(bytes)) sha.update(chunk)
  const found = parseDiffId(`sha256:${sha.digest('hex')}`)
  if (found !== diffId)
    throw new StrataError('dataLoss', 'STRATA_DIFF_ID_MISMATCH', `Cannot take layer ${diffId}: its bytes are those of ${found}`)
}
