import { isStrataError, StrataError } from '../base/index.ts'
import type { Metadata } from '../metadata/index.ts'
import type { StringMap } from './options.ts'

/** Part of the schema of containers, which refer to it. */
export const VOLUME_SCHEMA = `CREATE TABLE volumes (
     name TEXT PRIMARY KEY,
     created_at INTEGER NOT NULL,
     anonymous INTEGER NOT NULL,
     options TEXT NOT NULL,
     labels TEXT NOT NULL
   ) STRICT;`

export interface VolumeRecord {
  readonly name: string
  readonly createdAt: Date
  readonly anonymous: boolean
  readonly options: StringMap
  readonly labels: StringMap
}

interface Row {
  readonly name: string
  readonly created_at: number
  readonly anonymous: number
  readonly options: string
  readonly labels: string
}

/** The volumes of a root. The tables are those that ContainerRecords makes. */
export class VolumeRecords {
  readonly #metadata: Metadata

  constructor(metadata: Metadata) {
    this.#metadata = metadata
  }

  /** Makes the record, or gives the one that has the name already. */
  getOrInsert(volume: VolumeRecord): VolumeRecord {
    return this.#metadata.transaction(() => {
      const present = this.get(volume.name)
      if (present !== undefined) return present
      this.#metadata.run(
        'INSERT INTO volumes (name, created_at, anonymous, options, labels) VALUES (?, ?, ?, ?, ?)',
        volume.name,
        volume.createdAt.getTime(),
        Number(volume.anonymous),
        JSON.stringify(volume.options),
        JSON.stringify(volume.labels),
      )
      return volume
    })
  }

  get(name: string): VolumeRecord | undefined {
    const row = this.#metadata.get<Row>('SELECT * FROM volumes WHERE name = ?', name)
    return row === undefined ? undefined : recordOf(row)
  }

  /** Sorted by name. */
  list(): readonly VolumeRecord[] {
    return this.#metadata.all<Row>('SELECT * FROM volumes ORDER BY name').map(recordOf)
  }

  /** How many containers have each volume that at least one has. */
  uses(): ReadonlyMap<string, number> {
    const rows = this.#metadata.all<{ volume: string; uses: number }>(
      'SELECT volume, count(*) AS uses FROM container_volumes GROUP BY volume',
    )
    return new Map(rows.map(({ volume, uses }) => [volume, uses]))
  }

  /**
   * Deletes the record, and calls `removeFiles` in the same transaction. Throws `conflict`
   * (STRATA_VOLUME_IN_USE) while a container has the volume.
   */
  delete(name: string, removeFiles: () => void): void {
    this.#metadata.transaction(() => {
      const user = this.#metadata.get<{ container: string }>('SELECT container FROM container_volumes WHERE volume = ?', name)
      if (user !== undefined) {
        throw new StrataError(
          'conflict',
          'STRATA_VOLUME_IN_USE',
          `Cannot remove volume "${name}": it is in use by container "${user.container}"`,
        )
      }
      this.#metadata.run('DELETE FROM volumes WHERE name = ?', name)
      removeFiles()
    })
  }
}

/** Tells a volume in use from what really went wrong. */
export function isInUse(error: unknown): boolean {
  return isStrataError(error) && error.code === 'STRATA_VOLUME_IN_USE'
}

function recordOf(row: Row): VolumeRecord {
  return {
    name: row.name,
    createdAt: new Date(row.created_at),
    anonymous: row.anonymous === 1,
    options: JSON.parse(row.options) as StringMap,
    labels: JSON.parse(row.labels) as StringMap,
  }
}
