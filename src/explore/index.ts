export type { FileListing, ImageFiles, ListedFile, ListOptions } from './imageFiles.ts'
export type { BlobRanges } from './layerBlob.ts'
export { type ImageLayer, type LayerPlaces, openImageFiles, type OpenImageOptions } from './openImageFiles.ts'
