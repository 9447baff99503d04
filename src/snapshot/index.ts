export type { SnapshotChain, SnapshotId, StorageDriver, Usage } from './driver.ts'
export { DriverSnapshotter } from './driverSnapshotter.ts'
export { type DriverTrial, openDriver, selectDriver, tryDrivers } from './select.ts'
export type { LayerStack, NameOfLayer, SnapshotInfo, SnapshotKind, Snapshotter } from './snapshotter.ts'
