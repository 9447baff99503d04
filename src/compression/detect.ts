export type Compression = 'none' | 'gzip' | 'zstd' | 'xz' | 'bzip2'

/** How many bytes `detectCompression` looks at. */
export const MAGIC_BYTES = 10

/** What stands behind "BZh" and the block size: the mark of a block, or of the end. */
const BZIP2_MARKS: readonly (readonly number[])[] = [
  [0x31, 0x41, 0x59, 0x26, 0x53, 0x59],
  [0x17, 0x72, 0x45, 0x38, 0x50, 0x90],
]

/**
 * Tells the compression of a stream from its first bytes (ten are enough); `none` when no signature
 * matches. A tar whose first file is called "BZh…" is not taken for bzip2.
 */
export function detectCompression(prefix: Uint8Array): Compression {
  if (has(prefix, 0, [0x1f, 0x8b, 0x08])) return 'gzip'
  if (has(prefix, 0, [0x28, 0xb5, 0x2f, 0xfd])) return 'zstd'
  if (has(prefix, 1, [0x2a, 0x4d, 0x18]) && prefix[0]! >> 4 === 5) return 'zstd' // a skippable frame
  if (has(prefix, 0, [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00])) return 'xz'
  if (has(prefix, 0, [0x42, 0x5a, 0x68]) && prefix[3]! >= 0x31 && prefix[3]! <= 0x39) {
    const behind = prefix.subarray(4, MAGIC_BYTES)
    if (BZIP2_MARKS.some(mark => has(behind, 0, mark.slice(0, behind.length)))) return 'bzip2'
  }
  return 'none'
}

function has(bytes: Uint8Array, at: number, wanted: readonly number[]): boolean {
  return wanted.every((byte, index) => bytes[at + index] === byte)
}
