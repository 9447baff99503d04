/** Bytes of a table of contents, as it is in the blob and as text: enough for about 150,000 files. */
export const TOC_BYTES: number = 48 * 1024 * 1024
/** Objects and lists of a table: what the smallest of them cost as values is many times their text. */
export const TOC_OBJECTS = 1_000_000
/** Content of one chunk. It is held until it is verified; writers make chunks of a few MiB. */
export const CHUNK_CONTENT_BYTES: number = 64 * 1024 * 1024
/** Bytes of a chunk in the blob: what does not compress, and headers of members that have no content. */
export const CHUNK_BLOB_BYTES: number = CHUNK_CONTENT_BYTES + 16 * 1024 * 1024
/** Logical bytes of a file: what a tar may have. */
export const FILE_BYTES: number = 16 * 1024 ** 4
