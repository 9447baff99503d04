export { encodeTarHeader, TAR_END, tarPadding } from './encode.ts'
export type { SparseRegion, TarEntry, TarEntryType, TarHeader, TarLimits, TarSink, Timestamp } from './entry.ts'
export { TarParser } from './parser.ts'
export { readTar, type TarMember } from './reader.ts'
