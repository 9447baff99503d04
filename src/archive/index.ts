export type { Extent } from './archiveFile.ts'
export type { ArchivedImage, ArchivedLayer } from './archivedImage.ts'
export { plainArchive, type PlainArchive, readArchive } from './readArchive.ts'
export { type ImageToSave, writeArchive } from './writeArchive.ts'
