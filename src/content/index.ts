export type { BlobBatch } from './blobBatch.ts'
export { type ContentOptions, DiskContentStore, openContent } from './diskContentStore.ts'
export type { BlobProblem } from './scrub.ts'
export type {
  BlobInfo,
  BlobSink,
  BlobSource,
  BlobState,
  CommitOptions,
  ContentStore,
  Deriver,
  ExpectedBlob,
  Ingest,
  IngestOptions,
  OpenOptions,
} from './store.ts'
export { sizeMismatch, skipBytes, verified } from './verified.ts'
