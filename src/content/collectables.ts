import type { Collectable } from '../metadata/index.ts'
import { type Digest, isDigest, parseDigest } from '../oci/index.ts'
import type { BlobFiles } from './blobFiles.ts'
import type { BlobRecords } from './blobRecords.ts'
import type { IngestDirectory } from './ingestDirectory.ts'

interface ContentParts {
  readonly records: BlobRecords
  readonly files: BlobFiles
  readonly ingests: IngestDirectory
  /** Also what could be resumed. */
  readonly interrupted: boolean
  /** Takes the file of a blob out of the store, unless a record says that it is needed. */
  readonly sweep: (digest: Digest) => void
}

/** What a collection may remove from the content store. */
export function contentCollectables(parts: ContentParts): readonly Collectable[] {
  return [blobs(parts), unrecordedFiles(parts), abandonedIngests(parts)]
}

/** Blobs hold what they name and, where they are a layer's, the layer. */
function blobs({ records, sweep }: ContentParts): Collectable {
  return {
    kind: 'blob',
    list: () => records.all().map(blob => blob.digest),
    *references(id) {
      // What somebody calls a blob and is none has no record either.
      if (!isDigest(id)) return
      for (const child of records.children(id)) yield { kind: 'blob', id: child }
      const layer = records.layerOf(id)
      if (layer !== undefined) yield { kind: 'layer', id: layer }
    },
    drop: id => records.delete(parseDigest(id)),
    destroy: async id => sweep(parseDigest(id)),
  }
}

/** Files that a crash left between their name and their record, or between the end of the record and theirs. */
function unrecordedFiles({ records, files, sweep }: ContentParts): Collectable {
  return {
    kind: 'blob file',
    list: () =>
      files.digests().filter(digest => {
        const state = records.find(digest)?.state
        return state !== 'kept' && state !== 'damaged'
      }),
    references: () => [],
    drop: () => undefined,
    destroy: async id => sweep(parseDigest(id)),
  }
}

function abandonedIngests({ ingests, interrupted }: ContentParts): Collectable {
  return {
    kind: 'ingest',
    list: () => ingests.abandoned(interrupted),
    references: () => [],
    drop: () => undefined,
    destroy: async id => ingests.delete(id),
  }
}
