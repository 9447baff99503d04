/** The tables of contents that some layers have, eStargz's and zstd:chunked's: bytes and text → values. */
export { type EntryKind, parseToc, type TocChunk, type TocEntry } from './entries.ts'
export { ESTARGZ_FOOTER_BYTES, parseEstargzFooter, TOC_FILE_NAME } from './estargzFooter.ts'
export { TOC_BYTES } from './limits.ts'
export { placeOfToc, type TocPlace } from './place.ts'
