import { isStrataError, StrataError } from '../base/index.ts'
import type { Metadata } from '../metadata/index.ts'
import { type ContainerDefinition, type ContainerRecord, type ContainerState, isPassing } from './record.ts'
import { VOLUME_SCHEMA } from './volumeRecords.ts'

/*
 * A container is a row: who it is, what it is (never changed) and how it is. The JSON of the
 * definition carries a version, so that a later Strata knows what it reads. Which volumes a
 * container has stands in a table of its own, so that a volume in use cannot be deleted.
 */
const SCHEMA = [
  `${VOLUME_SCHEMA}
   CREATE TABLE containers (
     id TEXT PRIMARY KEY,
     name TEXT NOT NULL UNIQUE,
     created_at INTEGER NOT NULL,
     version INTEGER NOT NULL,
     image_id TEXT NOT NULL,
     definition TEXT NOT NULL,
     state TEXT NOT NULL
   ) STRICT;
   CREATE INDEX containers_by_image ON containers(image_id);
   CREATE TABLE container_volumes (
     container TEXT NOT NULL REFERENCES containers(id) ON DELETE CASCADE,
     volume TEXT NOT NULL REFERENCES volumes(name),
     PRIMARY KEY (container, volume)
   ) STRICT, WITHOUT ROWID;
   CREATE INDEX container_volumes_by_volume ON container_volumes(volume);`,
]

const DEFINITION_VERSION = 1

interface Row {
  readonly id: string
  readonly name: string
  readonly created_at: number
  readonly version: number
  readonly definition: string
  readonly state: string
}

const COLUMNS = 'id, name, created_at, version, definition, state'

/** The containers of a root. Every method is synchronous and one transaction. */
export class ContainerRecords {
  readonly #metadata: Metadata

  constructor(metadata: Metadata) {
    this.#metadata = metadata
    metadata.migrate('containers', SCHEMA)
  }

  /** Throws `conflict` (STRATA_NAME_IN_USE) when another container has the name. */
  insert(record: ContainerRecord): void {
    // Nobody is told of a container that is being created: durable with what finishes it.
    this.#metadata.passingTransaction(() => {
      this.#refuseTaken(record.name, record.id)
      this.#metadata.run(
        'INSERT INTO containers (id, name, created_at, version, image_id, definition, state) VALUES (?, ?, ?, ?, ?, ?, ?)',
        record.id,
        record.name,
        record.createdAt.getTime(),
        DEFINITION_VERSION,
        record.definition.image.id,
        JSON.stringify(record.definition),
        JSON.stringify(record.state),
      )
      for (const mount of record.definition.mounts) {
        if (mount.type !== 'volume') continue
        this.#metadata.run('INSERT OR IGNORE INTO container_volumes (container, volume) VALUES (?, ?)', record.id, mount.volume)
      }
    })
  }

  /** Reads, changes and writes a state as one step; undefined when the container is gone. */
  update(id: string, change: (state: ContainerState, record: ContainerRecord) => ContainerState): ContainerRecord | undefined {
    const update = (): ContainerRecord | undefined => {
      const record = this.get(id)
      if (record === undefined) return undefined
      const state = change(record.state, record)
      if (state !== record.state) this.#metadata.run('UPDATE containers SET state = ? WHERE id = ?', JSON.stringify(state), id)
      return { ...record, state }
    }
    return this.#isPassing(id) ? this.#metadata.passingTransaction(update) : this.#metadata.transaction(update)
  }

  #isPassing(id: string): boolean {
    const definition = this.get(id)?.definition
    return definition !== undefined && isPassing(definition)
  }

  rename(id: string, name: string): void {
    this.#metadata.transaction(() => {
      this.#refuseTaken(name, id)
      this.#metadata.run('UPDATE containers SET name = ? WHERE id = ?', name, id)
    })
  }

  /** Deletes a container and those of its volumes that nobody else has, which `moveAside` is told in the same transaction. */
  delete(id: string, volumes: readonly string[], moveAside: (volume: string) => void): void {
    const remove = (): void => {
      this.#metadata.run('DELETE FROM containers WHERE id = ?', id)
      for (const volume of volumes) if (this.#deleteUnused(volume)) moveAside(volume)
    }
    if (volumes.length === 0 && this.#isPassing(id)) this.#metadata.passingTransaction(remove)
    else this.#metadata.transaction(remove)
  }

  #deleteUnused(volume: string): boolean {
    try {
      return this.#metadata.transaction(() => this.#metadata.run('DELETE FROM volumes WHERE name = ?', volume) > 0)
    } catch (error) {
      if (isStrataError(error, 'conflict')) return false
      throw error
    }
  }

  get(id: string): ContainerRecord | undefined {
    const row = this.#metadata.get<Row>(`SELECT ${COLUMNS} FROM containers WHERE id = ?`, id)
    return row === undefined ? undefined : recordOf(row)
  }

  /**
   * The container that people mean: its whole id, its name (a slash before it means nothing), or a
   * unique prefix of its id. Throws `notFound` (STRATA_NO_SUCH_CONTAINER) or, for an ambiguous
   * prefix, `invalidArgument`.
   */
  find(text: string): ContainerRecord {
    const name = text.replace(/^\//, '')
    const row =
      this.#metadata.get<Row>(`SELECT ${COLUMNS} FROM containers WHERE id = ? OR name = ? ORDER BY id = ? DESC`, name, name, name) ??
      this.#byPrefix(name)
    const record = row === undefined ? undefined : recordOf(row)
    if (record === undefined || record.state.status === 'creating') throw noSuchContainer(text)
    return record
  }

  #byPrefix(prefix: string): Row | undefined {
    if (!/^[0-9a-f]{1,63}$/.test(prefix)) return undefined
    const rows = this.#metadata.all<Row>(`SELECT ${COLUMNS} FROM containers WHERE id >= ? AND id < ? LIMIT 2`, prefix, `${prefix}g`)
    if (rows.length < 2) return rows[0]
    throw new StrataError('invalidArgument', 'STRATA_AMBIGUOUS_ID', `Cannot find container "${prefix}": several ids begin with it`)
  }

  /** All of them, also those that are being created; the newest first. */
  list(): readonly ContainerRecord[] {
    return this.#metadata.all<Row>(`SELECT ${COLUMNS} FROM containers ORDER BY created_at DESC, rowid DESC`).map(recordOf)
  }

  /** Who has which image, without reading more than that. */
  images(): readonly { readonly id: string; readonly imageId: string; readonly chainId: string | undefined }[] {
    return this.#metadata
      .all<{ id: string; image_id: string; chain_id: string | null }>(
        "SELECT id, image_id, definition ->> '$.image.chainId' AS chain_id FROM containers",
      )
      .map(row => ({ id: row.id, imageId: row.image_id, chainId: row.chain_id ?? undefined }))
  }

  /** The ids of the containers that have a volume. */
  usersOf(volume: string): readonly string[] {
    return this.#metadata
      .all<{ container: string }>('SELECT container FROM container_volumes WHERE volume = ?', volume)
      .map(({ container }) => container)
  }

  #refuseTaken(name: string, by: string): void {
    const taken = this.#metadata.get<{ id: string }>('SELECT id FROM containers WHERE name = ? AND id <> ?', name, by)
    if (taken === undefined) return
    throw new StrataError(
      'conflict',
      'STRATA_NAME_IN_USE',
      `Cannot use container name "${name}": it is in use by container "${taken.id}"`,
      { hint: 'Remove or rename that container, or choose another name.' },
    )
  }
}

export function noSuchContainer(text: string): StrataError {
  return new StrataError('notFound', 'STRATA_NO_SUCH_CONTAINER', `Cannot find container "${text}": no such container`)
}

function recordOf(row: Row): ContainerRecord {
  if (row.version > DEFINITION_VERSION) {
    throw new StrataError('unsupported', 'STRATA_METADATA_TOO_NEW', `Cannot read container "${row.name}": a newer Strata has made it`)
  }
  return {
    id: row.id,
    name: row.name,
    createdAt: new Date(row.created_at),
    definition: JSON.parse(row.definition) as ContainerDefinition,
    state: JSON.parse(row.state) as ContainerState,
  }
}
