import { open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type ByteStream, errnoOf, fileStream, StrataError, sliceOf, systemError } from '../base/index.ts'
import { decompress } from '../compression/index.ts'
import { decodeLayerIndex, indexLayer, type LayerIndex } from '../layer/index.ts'
import { type DiffId, digestHex, parseDigest } from '../oci/index.ts'
import { readTar } from '../tar/index.ts'
import type { IndexedLayer } from '../union/index.ts'
import type { LayerBlob } from './layerBlob.ts'

export interface WholeLayerOptions {
  readonly diffId: DiffId
  /** A directory for files of this call, which its owner deletes. */
  readonly scratch: string
  /** What is read is put aside, as it is, so that contents can be read from there. Default: the blob is read again for each. */
  readonly keepsBytes: boolean
  readonly signal: AbortSignal | undefined
}

/**
 * Opens a layer by reading all of it, to the last byte, whatever is looked for: a later entry of the same tar may
 * replace an earlier one, or the directory that it is in, so that nothing is certain before the end; and only
 * the end proves the digest. So nothing of it is given out that is not verified, neither names nor content.
 *
 * Rejects with `dataLoss` for other bytes than digest and DiffId say, and as `indexLayer` does for a tar that is no layer.
 */
export async function openWholeLayer(blob: LayerBlob, options: WholeLayerOptions): Promise<IndexedLayer> {
  const { diffId, scratch, keepsBytes, signal } = options
  const name = digestHex(parseDigest(diffId))
  const [indexPath, keptPath] = [join(scratch, `${name}.index`), join(scratch, `${name}.blob`)]
  const bytes = await blob.whole()
  await indexLayer({ bytes: keepsBytes ? copied(bytes, keptPath) : bytes, indexPath, diffId, ...(signal === undefined ? {} : { signal }) })
  const index = decodeLayerIndex(await readFile(indexPath))
  const readBytes = async (): Promise<ByteStream> => (keepsBytes ? fileStream(keptPath) : blob.whole())
  return { index, open: (path, range = {}) => sliceOf(contentOf(index, path, readBytes), range) }
}

/** Passes bytes on and writes them to a new file. */
async function* copied(bytes: ByteStream, path: string): AsyncGenerator<Uint8Array> {
  try {
    await using file = await open(path, 'wx', 0o600)
    for await (const chunk of bytes) {
      await file.writeFile(chunk)
      yield chunk
    }
  } catch (error) {
    throw errnoOf(error) === undefined ? error : systemError(`write "${path}"`, error)
  }
}

async function* contentOf(index: LayerIndex, path: string, readBytes: () => Promise<ByteStream>): AsyncGenerator<Uint8Array> {
  const node = index.get(path)
  if (node?.type !== 'file') throw notThere(path)
  if (node.size === 0) return
  for await (const member of readTar(decompress(await readBytes()))) {
    if (member.dataOffset !== node.dataOffset || member.type !== 'file') continue
    yield* member.body
    return
  }
  throw notThere(path)
}

function notThere(path: string): StrataError {
  return new StrataError('internal', 'STRATA_INTERNAL', `Cannot read ${JSON.stringify(path)}: the layer has no such file`)
}
