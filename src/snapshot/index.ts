export type { SnapshotChain, SnapshotId, StorageDriver, Usage } from './driver.ts'
export { DriverSnapshotter } from './driverSnapshotter.ts'
export { type DriverChoice, type DriverFitness, selectDriver } from './select.ts'
export type { LayerStack, SnapshotInfo, SnapshotKind, Snapshotter } from './snapshotter.ts'
