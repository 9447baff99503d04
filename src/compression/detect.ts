export type Compression = 'none' | 'gzip' | 'zstd' | 'xz' | 'bzip2'

const MAGIC: readonly (readonly [Compression, readonly number[]])[] = [
  ['gzip', [0x1f, 0x8b, 0x08]],
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
  ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
  ['bzip2', [0x42, 0x5a, 0x68]],
]

/** How many bytes `detectCompression` looks at. */
export const MAGIC_BYTES = 10

/**
 * Tells the compression of a stream from its first bytes (ten are enough); `none` when no signature matches.
 */
export function detectCompression(prefix: Uint8Array): Compression {
  return MAGIC.find(([, magic]) => magic.every((byte, at) => prefix[at] === byte))?.[0] ?? 'none'
}
