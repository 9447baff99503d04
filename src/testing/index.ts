export { testContentStore, type ContentStoreUnderTest } from './contentStore.ts'
export type { ContentStoreModule } from './contentStoreProcess.ts'
