import { type FileHandle, open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type ByteStream, fileStream, sliceOf, StrataError, systemError, TemporaryDirectory } from '../base/index.ts'
import { decompress } from '../compression/index.ts'
import { decodeLayerIndex, indexLayer, type LayerIndex } from '../layer/index.ts'
import { type DiffId, quoted } from '../oci/index.ts'
import { readTar } from '../tar/index.ts'
import type { IndexedLayer } from '../union/index.ts'
import type { LayerBlob } from './layerBlob.ts'

export interface WholeLayerOptions {
  readonly diffId: DiffId
  /** A directory for files of this call; none is left in it when the layer is open. */
  readonly scratch: string
  /**
   * What is read is put aside, as it is, so that contents can be read from there; this closes it. Absent when nothing is put
   * aside: then the blob is read again for each content.
   */
  readonly kept: AsyncDisposableStack | undefined
  readonly signal: AbortSignal | undefined
}

/**
 * Opens a layer by reading all of it, to the last byte, whatever is looked for: a later entry of the same tar may
 * replace an earlier one, or the directory that it is in, so that nothing is certain before the end; and only
 * the end proves the digest. So nothing of it is given out that is not verified, neither names nor content.
 *
 * Rejects with `dataLoss` for other bytes than digest and DiffId say, and as `indexLayer` does for a tar that is no layer.
 */
export async function openWholeLayer(blob: LayerBlob, { diffId, scratch, kept, signal }: WholeLayerOptions): Promise<IndexedLayer> {
  await using directory = await TemporaryDirectory.create(scratch, 'look-')
  const file = kept?.use(await openNew(join(directory.path, 'blob')))
  const indexPath = join(directory.path, 'index')
  const bytes = await blob.whole()
  await indexLayer({
    bytes: file === undefined ? bytes : copied(bytes, file),
    indexPath,
    diffId,
    ...(signal === undefined ? {} : { signal }),
  })
  const index = decodeLayerIndex(await readFile(indexPath))
  // The file has no name any more: nothing of it stays, also when this process is killed.
  const readBytes = async (): Promise<ByteStream> => (file === undefined ? blob.whole() : fileStream(`/proc/self/fd/${file.fd}`))
  return { index, open: (path, range = {}) => sliceOf(contentOf(index, path, readBytes), range) }
}

async function openNew(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'wx+', 0o600)
  } catch (error) {
    throw systemError(`write "${path}"`, error)
  }
}

/** Passes bytes on and writes them to a file. */
async function* copied(bytes: ByteStream, file: FileHandle): AsyncGenerator<Uint8Array> {
  for await (const chunk of bytes) {
    try {
      await file.writeFile(chunk)
    } catch (error) {
      throw systemError('put a layer aside', error)
    }
    yield chunk
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
  return new StrataError('internal', 'STRATA_INTERNAL', `Cannot read ${quoted(path)}: the layer has no such file`)
}
