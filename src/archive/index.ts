export { type ArchivedRoot, ImageSource } from './imageSource.ts'
export { openImages } from './openImages.ts'
export { ArchiveContents, type ArchiveNames } from './writeArchive.ts'
