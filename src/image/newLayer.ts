import type { ByteStream } from '../base/index.ts'
import type { StoredLayer } from '../layers/index.ts'
import { chainIds, type DiffId } from '../oci/index.ts'
import type { UnpackOptions, UnpackStores } from './imageUnpack.ts'

/**
 * Takes in a layer that nobody has described yet: what an import brings, or a commit packs. It is
 * stored once, as the storage driver stores it, and on top of `below`.
 *
 * @param below the DiffIds of the stack that it goes on, base first; their layers must be here
 * Resolves when it is durable and held by the lease.
 */
export async function takeNewLayer(
  bytes: ByteStream,
  below: readonly DiffId[],
  { layers, snapshots, lease, signal }: UnpackStores & UnpackOptions,
): Promise<StoredLayer> {
  const interruptible = signal === undefined ? {} : { signal }
  if (snapshots === undefined) return layers.importTar(bytes, { lease, ...interruptible })
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
  })
  const name = nameOf(applied.diffId)
  lease.add({ kind: 'layer', id: applied.diffId })
  lease.add({ kind: 'snapshot', id: name })
  const directories = await stack.commit()
  const tree = { directory: directories.get(name), heldBy: { kind: 'snapshot', id: name } }
  const [stored] = await layers.recordTrees([{ staged, applied, tree }], { lease })
  return stored!
}
