import { type Snapshotter } from '../../src/snapshot/index.ts'
import { openStore, statesOfDriver } from './stores.ts'

/** The driver vfs for the conformance suite and for other processes of tests. */
export function openSnapshotter(root: string): Promise<Snapshotter> {
  return openStore(root, 'vfs')
}

export function statesOnDisk(root: string): Promise<number> {
  return statesOfDriver(root, 'vfs')
}
