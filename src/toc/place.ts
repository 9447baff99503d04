import { TOC_BYTES } from './limits.ts'

/** Where a layer's table is, and the digest that makes it trustworthy. Digests are `sha256:<64 hex>`. */
export type TocPlace =
  /** In a file at the end of the tar; the footer of the blob says where. `digest` is that of the text. */
  | { readonly format: 'estargz'; readonly digest: string }
  /** At these bytes of the blob, compressed by zstd; `digest` is that of these bytes. */
  | { readonly format: 'zstd:chunked'; readonly digest: string; readonly start: number; readonly end: number }

/** estargz.md, "Content Verification in eStargz" */
const ESTARGZ_DIGEST = 'containerd.io/snapshot/stargz/toc.digest'
/** containers/storage, the constants ManifestInfoKey and ManifestChecksumKey; the second spelling is what was written until 2022. */
const CHUNKED = ['io.github.containers.zstd-chunked', 'io.containers.zstd-chunked']
/** ManifestTypeCRFS: the table is JSON like that of eStargz. */
const JSON_TABLE = '1'

const DIGEST = /^sha256:[0-9a-f]{64}$/

/**
 * What the annotations of a layer's descriptor say of a table; undefined when there is none that could be believed: the
 * digest stands in the annotations, which the digest of the manifest covers.
 *
 * @param blobBytes size of the layer's blob
 */
export function placeOfToc(
  annotations: Readonly<Record<string, string>>,
  { compression, blobBytes }: { readonly compression: 'gzip' | 'zstd' | 'none'; readonly blobBytes: number },
): TocPlace | undefined {
  const value = (name: string): string => (Object.hasOwn(annotations, name) ? annotations[name]! : '')
  if (compression === 'gzip') {
    const digest = value(ESTARGZ_DIGEST)
    return DIGEST.test(digest) ? { format: 'estargz', digest } : undefined
  }
  if (compression === 'none') return undefined
  for (const prefix of CHUNKED) {
    const digest = value(`${prefix}.manifest-checksum`)
    // offset:length:length of the text:type
    const [, offset, length, textBytes, type] =
      /^(\d{1,15}):(\d{1,15}):(\d{1,15}):(\d{1,3})$/.exec(value(`${prefix}.manifest-position`)) ?? []
    if (!DIGEST.test(digest) || type !== JSON_TABLE) continue
    const [start, end] = [Number(offset), Number(offset) + Number(length)]
    if (end > start && end <= blobBytes && end - start <= TOC_BYTES && Number(textBytes) <= TOC_BYTES)
      return { format: 'zstd:chunked', digest, start, end }
  }
  return undefined
}
