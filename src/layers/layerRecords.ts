import type { Metadata, Resource } from '../metadata/index.ts'
import { type DiffId, parseDiffId } from '../oci/index.ts'

const MIGRATIONS = [
  `CREATE TABLE layers (
     diff_id TEXT PRIMARY KEY,
     form TEXT NOT NULL CHECK (form IN ('tree', 'tar')),
     tar_bytes INTEGER NOT NULL,
     content_bytes INTEGER NOT NULL,
     -- Of the form 'tree': the directory that holds the content, relative to the root, and what keeps that directory.
     tree TEXT,
     holder_kind TEXT,
     holder_id TEXT,
     created_at INTEGER NOT NULL,
     CHECK ((form = 'tree') = (tree IS NOT NULL AND holder_kind IS NOT NULL AND holder_id IS NOT NULL))
   ) STRICT, WITHOUT ROWID;`,
]

/** Where the content of a layer is: in a plain tar of the layer store, or in a tree that a storage driver extracted. */
export type LayerPlace =
  | { readonly form: 'tar' }
  | { readonly form: 'tree'; /** Relative to the root directory. */ readonly tree: string; readonly heldBy: Resource }

export interface LayerRecord {
  readonly diffId: DiffId
  readonly place: LayerPlace
  readonly tarBytes: number
  readonly contentBytes: number
}

interface Row {
  readonly diff_id: string
  readonly form: 'tree' | 'tar'
  readonly tar_bytes: number
  readonly content_bytes: number
  readonly tree: string
  readonly holder_kind: string
  readonly holder_id: string
}

/** The table of the layer store. */
export class LayerRecords {
  readonly #metadata: Metadata

  constructor(metadata: Metadata) {
    this.#metadata = metadata
    metadata.migrate('layers', MIGRATIONS)
  }

  find(diffId: DiffId): LayerRecord | undefined {
    const row = this.#metadata.get<Row>('SELECT * FROM layers WHERE diff_id = ?', diffId)
    return row === undefined ? undefined : toRecord(row)
  }

  all(): readonly LayerRecord[] {
    return this.#metadata.all<Row>('SELECT * FROM layers ORDER BY diff_id').map(toRecord)
  }

  set(layer: LayerRecord): void {
    const { place } = layer
    this.#metadata.run(
      `INSERT OR REPLACE INTO layers (diff_id, form, tar_bytes, content_bytes, tree, holder_kind, holder_id, created_at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
      layer.diffId,
      place.form,
      layer.tarBytes,
      layer.contentBytes,
      ...(place.form === 'tree' ? [place.tree, place.heldBy.kind, place.heldBy.id] : [null, null, null]),
      Date.now(),
    )
  }

  delete(diffId: DiffId): void {
    this.#metadata.run('DELETE FROM layers WHERE diff_id = ?', diffId)
  }
}

function toRecord(row: Row): LayerRecord {
  return {
    diffId: parseDiffId(row.diff_id),
    place: row.form === 'tar' ? { form: 'tar' } : { form: 'tree', tree: row.tree, heldBy: { kind: row.holder_kind, id: row.holder_id } },
    tarBytes: row.tar_bytes,
    contentBytes: row.content_bytes,
  }
}
