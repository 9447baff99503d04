import type { SnapshotId, StorageDriver } from './driver.ts'
import type { SnapshotRecords } from './records.ts'

/**
 * Takes back a state that did not come to be. What the disk refuses to give up now is left to
 * `removeOrphans`: the caller is about to say why the state did not come to be, and that matters.
 */
export async function discard(driver: StorageDriver, records: SnapshotRecords, id: SnapshotId): Promise<void> {
  try {
    records.discard(id)
    await driver.remove(id)
  } catch {
    // A row that is still there goes when this process has ended.
  }
}
