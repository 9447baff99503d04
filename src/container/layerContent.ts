import type { ByteStream } from '../base/index.ts'
import { currentProcess, isStrataError } from '../base/index.ts'
import { type Change, flatten, packLayer, type ReadableTree } from '../layer/index.ts'
import type { Installation } from './installation.ts'
import { type ContainerRecord, without } from './record.ts'
import type { CommitSourceOptions, ContainerChange } from './requests.ts'
import { refreshLocked } from './settle.ts'
import { withoutStubs } from './stubs.ts'

/** What the container layer changes, sorted by path, as docker prints it. */
export async function diffContainer(installation: Installation, record: ContainerRecord): Promise<readonly ContainerChange[]> {
  const changes = await layerChanges(installation, record)
  return changes.map(({ kind, path }) => ({ kind, path: `/${path}` }))
}

async function layerChanges(
  installation: Installation,
  { id, definition }: ContainerRecord,
  withoutMountPoints = false,
): Promise<readonly Change[]> {
  const mountPoints = withoutMountPoints ? definition.mounts.map(({ target }) => target.replace(/^\/+/, '')) : []
  const { chainId } = definition.image
  const lower = chainId === undefined ? undefined : await installation.snapshots.tree(chainId)
  try {
    return await withoutStubs(installation.snapshots.changes(id), lower, mountPoints)
  } finally {
    await lower?.close()
  }
}

/**
 * The plain layer tar of what the container layer changes. With `pause` a running container stands
 * still until the stream has been read or given up.
 */
export async function* containerLayer(
  installation: Installation,
  record: ContainerRecord,
  { pause = true, withoutMountPoints = false }: CommitSourceOptions,
): AsyncGenerator<Uint8Array> {
  await using _ = pause ? await standStill(installation, record) : undefined
  const changes = await layerChanges(installation, record, withoutMountPoints)
  const upper = await installation.snapshots.tree(record.id)
  try {
    yield* packLayer(changes, upper)
  } finally {
    await upper.close()
  }
}

/** Pauses a running container for a while. Who it is for stands in the record, so that others let it go on when that process is killed. */
async function standStill(installation: Installation, { id }: ContainerRecord): Promise<AsyncDisposable | undefined> {
  using lock = await installation.locks.acquire(id)
  const record = await refreshLocked(installation, id, lock)
  if (record?.state.status !== 'running' || record.state.pausedBy !== undefined) return undefined
  const runtime = await installation.runtime()
  installation.records.update(id, state => ({ ...state, pausedBy: currentProcess() }))
  try {
    await runtime.pause(id)
  } catch (error) {
    // It ends this moment: then it stands still by itself.
    if (!isStrataError(error, 'conflict') && !isStrataError(error, 'notFound')) throw error
  }
  return {
    [Symbol.asyncDispose]: async () => {
      await runtime.resume(id).catch((error: unknown) => {
        if (!isStrataError(error, 'conflict') && !isStrataError(error, 'notFound')) throw error
      })
      installation.records.update(id, state => without(state, 'pausedBy'))
    },
  }
}

/** The whole root filesystem as one tar, read without a mount. */
export async function exportContainer(installation: Installation, { id }: ContainerRecord): Promise<ByteStream> {
  const tree = await installation.snapshots.tree(id)
  return closing(flatten(tree), tree)
}

/** A stream that closes the tree it is read from. */
export async function* closing(bytes: AsyncIterable<Uint8Array>, tree: Pick<ReadableTree, 'close'>): AsyncGenerator<Uint8Array> {
  try {
    yield* bytes
  } finally {
    await tree.close()
  }
}
