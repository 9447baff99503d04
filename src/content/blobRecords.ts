import { StrataError } from '../base/index.ts'
import type { Metadata } from '../metadata/index.ts'
import { type DiffId, type Descriptor, type Digest, parseDiffId, parseDigest } from '../oci/index.ts'
import type { BlobInfo, BlobState } from './store.ts'

const MIGRATIONS = [
  `CREATE TABLE blobs (
     digest TEXT PRIMARY KEY,
     size INTEGER NOT NULL,
     media_type TEXT NOT NULL,
     state TEXT NOT NULL CHECK (state IN ('kept', 'derivable', 'refetchable', 'damaged')),
     created_at INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID;
   -- What a manifest or an index names, present or not. Written with the blob, so that a collection reads no file.
   CREATE TABLE blob_references (
     parent TEXT NOT NULL REFERENCES blobs (digest) ON DELETE CASCADE,
     child TEXT NOT NULL,
     PRIMARY KEY (parent, child)
   ) STRICT, WITHOUT ROWID;
   -- Registries that had a blob; also of compressed forms that exist nowhere else.
   CREATE TABLE blob_sources (
     digest TEXT NOT NULL,
     repository TEXT NOT NULL,
     seen_at INTEGER NOT NULL,
     PRIMARY KEY (digest, repository)
   ) STRICT, WITHOUT ROWID;
   -- The layer that a layer blob holds; the blob need not be here.
   CREATE TABLE layer_blobs (
     digest TEXT PRIMARY KEY,
     diff_id TEXT NOT NULL,
     media_type TEXT NOT NULL,
     size INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID;
   CREATE INDEX layer_blobs_by_diff_id ON layer_blobs (diff_id);`,
]

interface BlobRow {
  readonly digest: string
  readonly size: number
  readonly media_type: string
  readonly state: BlobState
  readonly created_at: number
}

export interface NewBlob {
  readonly digest: Digest
  readonly size: number
  readonly mediaType: string
  readonly state: BlobState
  /** What the blob names, when it is a manifest or an index. */
  readonly children: readonly Digest[]
}

/** The tables of the content store; every other file of this part speaks to them through here. */
export class BlobRecords {
  readonly #metadata: Metadata

  constructor(metadata: Metadata) {
    this.#metadata = metadata
    metadata.migrate('content', MIGRATIONS)
  }

  find(digest: Digest): BlobInfo | undefined {
    const row = this.#metadata.get<BlobRow>('SELECT * FROM blobs WHERE digest = ?', digest)
    return row === undefined ? undefined : toInfo(row)
  }

  all(): readonly BlobInfo[] {
    return this.#metadata.all<BlobRow>('SELECT * FROM blobs ORDER BY digest').map(toInfo)
  }

  /** Writes the record of a blob; an older one keeps its time. */
  set(blob: NewBlob): BlobInfo {
    const row = this.#metadata.get<BlobRow>(
      `INSERT INTO blobs (digest, size, media_type, state, created_at) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT (digest) DO UPDATE SET size = excluded.size, media_type = excluded.media_type, state = excluded.state
       RETURNING *`,
      blob.digest,
      blob.size,
      blob.mediaType,
      blob.state,
      Date.now(),
    )
    for (const child of blob.children) {
      this.#metadata.run('INSERT OR IGNORE INTO blob_references (parent, child) VALUES (?, ?)', blob.digest, child)
    }
    return toInfo(row!)
  }

  setState(digest: Digest, state: BlobState): void {
    this.#metadata.run('UPDATE blobs SET state = ? WHERE digest = ?', state, digest)
  }

  /** Forgets a blob and what is known of it. */
  delete(digest: Digest): void {
    this.#metadata.run('DELETE FROM blobs WHERE digest = ?', digest)
    this.#metadata.run('DELETE FROM blob_sources WHERE digest = ?', digest)
    this.#metadata.run('DELETE FROM layer_blobs WHERE digest = ?', digest)
  }

  children(digest: Digest): readonly Digest[] {
    return this.#metadata
      .all<{ child: string }>('SELECT child FROM blob_references WHERE parent = ? ORDER BY child', digest)
      .map(row => parseDigest(row.child))
  }

  /** Tells whether a blob and all that it names, directly or not, are kept. */
  isComplete(digest: Digest): boolean {
    const row = this.#metadata.get<{ missing: number }>(
      `WITH RECURSIVE needed (digest) AS (
         SELECT ? UNION SELECT child FROM blob_references JOIN needed ON parent = needed.digest
       )
       SELECT EXISTS (
         SELECT 1 FROM needed LEFT JOIN blobs USING (digest) WHERE state IS NULL OR state <> 'kept'
       ) AS missing`,
      digest,
    )
    return row?.missing === 0
  }

  addSource(digest: Digest, repository: string): void {
    this.#metadata.run('INSERT OR REPLACE INTO blob_sources (digest, repository, seen_at) VALUES (?, ?, ?)', digest, repository, Date.now())
  }

  /** Repositories that had the blob, the last seen first. */
  sources(digest: Digest): readonly string[] {
    return this.#metadata
      .all<{ repository: string }>('SELECT repository FROM blob_sources WHERE digest = ? ORDER BY seen_at DESC, repository', digest)
      .map(row => row.repository)
  }

  /**
   * Notes which layer a blob holds. Bytes hold one layer for ever: who says another one has verified nothing.
   *
   * @throws StrataError `dataLoss` (STRATA_LAYER_MISMATCH) for a blob that is known to hold another layer
   */
  setLayer(blob: Descriptor, diffId: DiffId): void {
    const known = this.#metadata.get<{ diff_id: string }>(
      `INSERT INTO layer_blobs (digest, diff_id, media_type, size) VALUES (?, ?, ?, ?)
       ON CONFLICT (digest) DO UPDATE SET diff_id = diff_id
       RETURNING diff_id`,
      blob.digest,
      diffId,
      blob.mediaType,
      blob.size,
    )?.diff_id
    if (known === diffId) return
    const state = `it holds layer ${known}`
    throw new StrataError('dataLoss', 'STRATA_LAYER_MISMATCH', `Cannot take blob ${blob.digest} for layer ${diffId}: ${state}`)
  }

  layerOf(digest: Digest): DiffId | undefined {
    const row = this.#metadata.get<{ diff_id: string }>('SELECT diff_id FROM layer_blobs WHERE digest = ?', digest)
    return row === undefined ? undefined : parseDiffId(row.diff_id)
  }

  blobsOf(diffId: DiffId): readonly Descriptor[] {
    return this.#metadata
      .all<{ digest: string; media_type: string; size: number }>(
        'SELECT digest, media_type, size FROM layer_blobs WHERE diff_id = ? ORDER BY digest',
        diffId,
      )
      .map(row => ({ mediaType: row.media_type, digest: parseDigest(row.digest), size: row.size }))
  }

  /** Forgets the forms of a layer that are not blobs of this store. */
  forgetLayer(diffId: DiffId): void {
    const elsewhere = 'SELECT digest FROM layer_blobs WHERE diff_id = ? AND digest NOT IN (SELECT digest FROM blobs)'
    this.#metadata.run(`DELETE FROM blob_sources WHERE digest IN (${elsewhere})`, diffId)
    this.#metadata.run(`DELETE FROM layer_blobs WHERE digest IN (${elsewhere})`, diffId)
  }
}

function toInfo(row: BlobRow): BlobInfo {
  return {
    digest: parseDigest(row.digest),
    size: row.size,
    mediaType: row.media_type,
    state: row.state,
    createdAt: new Date(row.created_at),
  }
}
