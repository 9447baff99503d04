import { type ByteStream, fileStream, observed } from '../base/index.ts'
import type { FileRange } from '../layer/index.ts'
import type { StoredLayer } from '../layers/index.ts'
import { chainIds, type DiffId } from '../oci/index.ts'
import type { UnpackOptions, UnpackStores } from './imageUnpack.ts'

/**
 * Takes in a layer that nobody has described yet: what an import brings, or a commit packs. It is
 * stored once, as the storage driver stores it, and on top of `below`.
 *
 * @param bytes the layer tar, compressed or not; a file is read by the worker itself
 * @param below the DiffIds of the stack that it goes on, base first; their layers must be here
 * @param options.onRead told how many of `bytes` were taken, piece by piece
 * Resolves when it is durable and held by the lease.
 */
export async function takeNewLayer(
  bytes: ByteStream | FileRange,
  below: readonly DiffId[],
  { layers, snapshots, lease, signal, onRead }: UnpackStores & UnpackOptions & { readonly onRead?: (bytes: number) => void },
): Promise<StoredLayer> {
  const interruptible = signal === undefined ? {} : { signal }
  const observing = onRead === undefined ? {} : { onRead }
  if (snapshots === undefined) {
    const stream = 'path' in bytes ? fileStream(bytes.path, bytes) : bytes
    return layers.importTar(onRead === undefined ? stream : observed(stream, chunk => onRead(chunk.length)), { lease, ...interruptible })
  }
  const nameOf = (diffId: DiffId): string => chainIds([...below, diffId]).at(-1)!
  await using staged = layers.stage()
  await using stack = snapshots.importStack()
  const { indexPath, headersPath, tarPath } = staged
  const applied = await stack.add(({ diffId }) => nameOf(diffId), chainIds(below).at(-1), {
    bytes,
    indexPath,
    headersPath,
    tarPath,
    ...interruptible,
    ...observing,
  })
  const name = nameOf(applied.diffId)
  lease.add({ kind: 'layer', id: applied.diffId })
  lease.add({ kind: 'snapshot', id: name })
  const directories = await stack.commit()
  const tree = { directory: directories.get(name), heldBy: { kind: 'snapshot', id: name } }
  const [stored] = await layers.recordTrees([{ staged, applied, tree }], { lease })
  return stored!
}
