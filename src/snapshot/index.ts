export type { SnapshotChain, SnapshotId, StorageDriver, Usage } from './driver.ts'
export { DriverSnapshotter } from './driverSnapshotter.ts'
export { type DriverChoice, type DriverFitness, openDriver, selectDriver } from './select.ts'
export type { LayerStack, NameOfLayer, SnapshotInfo, SnapshotKind, Snapshotter } from './snapshotter.ts'
