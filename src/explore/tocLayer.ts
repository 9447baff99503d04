import { type ByteStream, CHUNK_BYTES, isStrataError, readAtMost, sliceOf, StrataError, streamOf } from '../base/index.ts'
import { decompress } from '../compression/index.ts'
import { indexEntries } from '../layer/index.ts'
import { type DiffId, digestOf, layerCompression, quoted } from '../oci/index.ts'
import { readTar, type TarEntry } from '../tar/index.ts'
import {
  ESTARGZ_FOOTER_BYTES,
  parseEstargzFooter,
  parseToc,
  placeOfToc,
  TOC_BYTES,
  TOC_FILE_NAME,
  type TocChunk,
  type TocEntry,
  type TocPlace,
} from '../toc/index.ts'
import type { IndexedLayer } from '../union/index.ts'
import type { RemoteBlob } from './layerBlob.ts'

/** Names of a layer that is known by a table; more than the table may have. */
const LIMIT = 5_000_000
/** The tar around an eStargz table: its header, and zeros. */
const AROUND_TOC_BYTES = 64 * 1024

/**
 * Opens a layer by its table of contents (eStargz or zstd:chunked), of which the annotations of its descriptor have the
 * digest: the table is fetched, and then the pieces of the files that are read. Each piece is verified against the table before it is
 * given out. What is never seen is the tar: whoever made the image vouches for the table as for everything in the
 * manifest, and could have made it differ from the tar that a pull unpacks.
 *
 * Undefined when there is no table, or none that can be used: one with another digest, a damaged or a too large one. The
 * layer says the same when it is read whole. Rejects with what fetching rejects with.
 */
export async function openTocLayer(blob: RemoteBlob, diffId: DiffId): Promise<IndexedLayer | undefined> {
  const { annotations = {}, mediaType, size } = blob.descriptor
  const place = placeOfToc(annotations, { compression: layerCompression(mediaType) ?? 'none', blobBytes: size })
  if (place === undefined) return undefined
  try {
    const table = place.format === 'estargz' ? await readEstargz(blob, place) : await readChunked(blob, place)
    return indexed(blob, table, diffId)
  } catch (error) {
    if (UNUSABLE.some(kind => isStrataError(error, kind))) return undefined
    throw error
  }
}

const UNUSABLE = ['dataLoss', 'invalidArgument', 'resourceExhausted', 'unsupported'] as const

/** A layer's entries in the order of its tar, each with its content. */
type Table = readonly { readonly entry: Omit<TarEntry, 'headerOffset' | 'dataOffset'>; readonly content: Content }[]
type Content = { readonly chunks: readonly TocChunk[] } | { readonly bytes: Buffer }

async function readChunked(blob: RemoteBlob, { start, end, digest }: TocPlace & { format: 'zstd:chunked' }): Promise<Table> {
  const stored = await readAtMost(await blob.part(start, end), end - start)
  checkDigest(stored, digest)
  const json = await readAtMost(decompress(streamOf(stored)), TOC_BYTES, 'the table of contents')
  return parseToc(json, { dataEnd: start }).map(tableEntry)
}

async function readEstargz(blob: RemoteBlob, { digest }: TocPlace & { format: 'estargz' }): Promise<Table> {
  const footerAt = blob.descriptor.size - ESTARGZ_FOOTER_BYTES
  if (footerAt <= 0) throw unusable('the blob is too small for one')
  const start = parseEstargzFooter(await readAtMost(await blob.part(footerAt, blob.descriptor.size), ESTARGZ_FOOTER_BYTES))
  if (start >= footerAt || footerAt - start > TOC_BYTES) throw unusable('it is not where it should be')
  const tar = decompress(await blob.part(start, footerAt), { limits: { outputBytes: TOC_BYTES + AROUND_TOC_BYTES } })
  for await (const { body, ...entry } of readTar(tar)) {
    if (entry.path !== TOC_FILE_NAME || entry.type !== 'file') break
    const json = await readAtMost(body, TOC_BYTES, 'the table of contents')
    checkDigest(json, digest)
    // The tar has the table as a file, so every engine that unpacks it shows that.
    return [...parseToc(json, { dataEnd: start }).map(tableEntry), { entry, content: { bytes: json } }]
  }
  throw unusable('there is another file in its place')
}

function tableEntry({ kind, name, linkName, mode, uid, gid, modifiedAt, xattrs, device, size, chunks }: TocEntry): Table[number] {
  return {
    entry: {
      type: kind,
      path: name,
      linkPath: linkName,
      mode,
      uid,
      gid,
      userName: '',
      groupName: '',
      size,
      storedSize: size,
      modifiedAt,
      xattrs,
      ...(device === undefined ? {} : { device }),
    },
    content: { chunks },
  }
}

function indexed(blob: RemoteBlob, table: Table, diffId: DiffId): IndexedLayer {
  // Where the payload would be in the tar is not known: the entry's number in the table stands there.
  const entries = table.map(({ entry }, at): TarEntry => ({ ...entry, headerOffset: at, dataOffset: at }))
  const index = indexEntries(entries, { diffId, limit: LIMIT })
  return {
    index,
    async *open(path, range = {}) {
      const node = index.get(path)
      const content = node?.type === 'file' ? table[node.dataOffset]?.content : undefined
      if (content === undefined) throw unreadable(path, 'the layer has no such file')
      yield* sliceOf('bytes' in content ? streamOf(content.bytes) : chunkContents(blob, path, content.chunks), range)
    },
  }
}

/** The content of a file, piece by piece. Pieces that are neighbours in the blob are fetched at once. */
async function* chunkContents(blob: RemoteBlob, path: string, chunks: readonly TocChunk[]): AsyncGenerator<Uint8Array> {
  for (const run of neighbours(chunks)) {
    const [first, last] = [run[0]!.stored, run.at(-1)!.stored]
    if (first === undefined || last === undefined) {
      for (let left = run[0]!.size; left > 0; left -= CHUNK_BYTES) yield Buffer.alloc(Math.min(left, CHUNK_BYTES))
      continue
    }
    const pieces = cut(
      await blob.part(first.start, last.end),
      run.map(({ stored }) => stored!.end - stored!.start),
    )
    let at = 0
    for await (const piece of pieces) yield await chunkContent(piece, path, run[at++]!)
    if (at < run.length) throw unreadable(path, 'its layer ends too early')
  }
}

async function chunkContent(piece: Uint8Array, path: string, { size, stored }: TocChunk): Promise<Buffer> {
  const { skip, digest } = stored!
  const content = await readAtMost(sliceOf(decompress(streamOf(piece)), { start: skip, end: skip + size }), size)
  if (digestOf(content) !== digest)
    throw new StrataError(
      'dataLoss',
      'STRATA_DIGEST_MISMATCH',
      `Cannot read ${quoted(path)}: its content is not what the table of its layer says`,
    )
  return content
}

/** Chunks that stand one behind the other in the blob, together; those of zeros alone. */
function neighbours(chunks: readonly TocChunk[]): readonly (readonly TocChunk[])[] {
  const runs: TocChunk[][] = []
  for (const chunk of chunks) {
    const run = runs.at(-1)
    const before = run?.at(-1)?.stored
    if (run !== undefined && before !== undefined && before.end === chunk.stored?.start) run.push(chunk)
    else runs.push([chunk])
  }
  return runs
}

/** Cuts a stream into pieces of these lengths; there are fewer when it ends early. */
async function* cut(bytes: ByteStream, lengths: readonly number[]): AsyncGenerator<Buffer> {
  let parts: Uint8Array[] = []
  let filled = 0
  let at = 0
  for await (const chunk of bytes) {
    let rest = chunk
    while (rest.length > 0 && at < lengths.length) {
      const taken = rest.subarray(0, lengths[at]! - filled)
      rest = rest.subarray(taken.length)
      parts.push(taken)
      filled += taken.length
      if (filled < lengths[at]!) continue
      yield Buffer.concat(parts)
      parts = []
      filled = 0
      at += 1
    }
  }
}

function checkDigest(bytes: Uint8Array, expected: string): void {
  if (digestOf(bytes) !== expected) throw unusable('its digest is another one')
}

function unusable(state: string): StrataError {
  return new StrataError('dataLoss', 'STRATA_TOC_INVALID', `Cannot use table of contents: ${state}`)
}

function unreadable(path: string, state: string): StrataError {
  return new StrataError('dataLoss', 'STRATA_LAYER_DAMAGED', `Cannot read ${quoted(path)}: ${state}`)
}
