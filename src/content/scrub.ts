import { type ByteStream, drain, errnoOf, fileStream, isStrataError } from '../base/index.ts'
import type { Metadata } from '../metadata/index.ts'
import type { Digest } from '../oci/index.ts'
import type { BlobFiles } from './blobFiles.ts'
import type { BlobRecords } from './blobRecords.ts'
import type { BlobInfo } from './store.ts'
import { verified } from './verified.ts'

/** Something that a check of the content store found. */
export interface BlobProblem {
  /** `garbage` harms nobody and goes with the next collection; `damage` is bytes that are lost. */
  readonly severity: 'damage' | 'garbage'
  readonly path: string
  /** What is wrong with it, as the end of the sentence "… is". */
  readonly state: string
}

interface MarkParts {
  readonly metadata: Metadata
  readonly records: BlobRecords
  readonly files: BlobFiles
}

interface ScrubParts extends MarkParts {
  readonly derive: (digest: Digest) => Promise<ByteStream>
}

/** Reads all blobs, marks those that are damaged, unmarks those that are not, and gives what it found. */
export async function* scrubBlobs(parts: ScrubParts): AsyncGenerator<BlobProblem, void> {
  const { metadata, records, files } = parts
  for (const blob of records.all()) {
    if (blob.state === 'refetchable') continue
    const version = files.version(blob.digest)
    const state = await damageOf(blob, parts)
    if (blob.state !== 'derivable') markBlob(blob.digest, { state: state === undefined ? 'kept' : 'damaged', version }, parts)
    if (state !== undefined) yield { severity: 'damage', path: files.path(blob.digest), state }
  }
  const unrecorded = metadata.transaction(() => files.digests().filter(digest => !isFileExpected(records.find(digest))))
  for (const digest of unrecorded) yield { severity: 'garbage', path: files.path(digest), state: 'not recorded' }
  for (const path of files.strangers()) yield { severity: 'garbage', path, state: 'no blob' }
}

/** Records what reading the file of a blob has shown, unless that file was replaced meanwhile. */
export function markBlob(
  digest: Digest,
  found: { readonly state: 'kept' | 'damaged'; readonly version: string | undefined },
  { metadata, records, files }: MarkParts,
): void {
  metadata.transaction(() => {
    const state = records.find(digest)?.state
    if (state !== 'kept' && state !== 'damaged') return
    if (state !== found.state && files.version(digest) === found.version) records.setState(digest, found.state)
  })
}

function isFileExpected(blob: BlobInfo | undefined): boolean {
  return blob?.state === 'kept' || blob?.state === 'damaged'
}

async function damageOf(blob: BlobInfo, { files, derive }: ScrubParts): Promise<string | undefined> {
  try {
    await drain(verified(blob.state === 'derivable' ? await derive(blob.digest) : fileStream(files.path(blob.digest)), blob))
    return undefined
  } catch (error) {
    if (isStrataError(error, 'dataLoss')) return error.message
    const errno = errnoOf(error)
    if (errno === 'ENOENT') return 'missing'
    if (errno === 'EIO') return 'not readable'
    throw error
  }
}
