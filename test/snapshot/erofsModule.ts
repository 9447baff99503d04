import { mountsBelow, unmount } from '../../src/host/index.ts'
import { type Snapshotter } from '../../src/snapshot/index.ts'
import { openStore, statesOfDriver } from './stores.ts'

/** The driver erofs for the conformance suite and for other processes of tests; at its end nothing stays mounted. */
export async function openSnapshotter(root: string): Promise<Snapshotter> {
  const snapshots = await openStore(root, 'erofs')
  const close = snapshots[Symbol.asyncDispose].bind(snapshots)
  return Object.assign(snapshots, {
    async [Symbol.asyncDispose](): Promise<void> {
      for (const { target } of mountsBelow(root).toReversed()) unmount(target, { detach: true })
      await close()
    },
  })
}

export function statesOnDisk(root: string): Promise<number> {
  return statesOfDriver(root, 'erofs')
}
