import { tocError } from './tocError.ts'

/** The file of the tar that holds the table, in a gzip member of its own. estargz.md, "TOC" */
export const TOC_FILE_NAME = 'stargz.index.json'

/**
 * 10 of a gzip header, 2 of XLEN, 2 + 2 of a subfield's id and length, 22 of its text, 5 of an empty deflate
 * block, 8 of a gzip trailer. estargz.md, "Footer"
 */
export const ESTARGZ_FOOTER_BYTES: number = 10 + 2 + 4 + 22 + 5 + 8

const FLAGS = 3
const HAS_EXTRA = 4
const EXTRA = 10

/**
 * Reads the end of an eStargz blob: an empty gzip member whose extra field says where the table begins.
 *
 * @param footer the last ESTARGZ_FOOTER_BYTES of the blob
 * @returns the offset of the gzip member that has the table, in bytes of the blob
 * @throws StrataError STRATA_TOC_INVALID
 */
export function parseEstargzFooter(footer: Uint8Array): number {
  const bytes = Buffer.from(footer.buffer, footer.byteOffset, footer.byteLength)
  if (bytes.length !== ESTARGZ_FOOTER_BYTES || bytes.readUInt16BE(0) !== 0x1f8b || bytes[FLAGS] !== HAS_EXTRA)
    throw tocError('the blob does not end as eStargz does')
  const text = bytes.toString('latin1', EXTRA + 6, EXTRA + 28)
  const isSubfield = bytes.readUInt16LE(EXTRA) === 26 && bytes.toString('latin1', EXTRA + 2, EXTRA + 4) === 'SG'
  if (!isSubfield || bytes.readUInt16LE(EXTRA + 4) !== 22 || !/^[0-9a-f]{16}STARGZ$/.test(text))
    throw tocError('the blob does not end as eStargz does')
  const offset = Number.parseInt(text.slice(0, 16), 16)
  if (!Number.isSafeInteger(offset)) throw tocError('the blob is too small for where it should be')
  return offset
}
