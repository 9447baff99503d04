export { compress } from './compress.ts'
export { decompress, type DecompressLimits } from './decompress.ts'
export { type Compression, detectCompression } from './detect.ts'
export type { Inflated, Inflater } from './inflater.ts'
