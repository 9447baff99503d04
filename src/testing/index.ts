export { testContentStore, type ContentStoreUnderTest } from './contentStore.ts'
export type { ContentStoreModule } from './contentStoreProcess.ts'
export { type SnapshotterUnderTest, testSnapshotter } from './snapshotter.ts'
export type { SnapshotterModule } from './snapshotter/subject.ts'
