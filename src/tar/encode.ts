import type { TarHeader } from './entry.ts'

/** The end marker: two blocks of zeros. */
export const TAR_END: Buffer = Buffer.alloc(1024)

/** The header blocks of an entry. */
export function encodeTarHeader(header: TarHeader): Buffer {
  void header
  throw new Error('being written')
}

/** The zeros that fill the last block of `size` bytes of payload. */
export function tarPadding(size: number): Buffer {
  return TAR_END.subarray(0, (512 - (size % 512)) % 512)
}
