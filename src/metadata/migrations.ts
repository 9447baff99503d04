import { StrataError } from '../base/index.ts'
import type { Metadata } from './metadata.ts'
import { isMissingTable } from './sqliteErrors.ts'

interface MigrationState {
  readonly steps: readonly string[]
  /** The versions read before, if any. */
  readonly versions: Map<string, number> | undefined
  /** Executes a text of several statements. */
  readonly execute: (sql: string) => void
}

/** Runs the steps of `part` that this database has not seen, and gives the versions of all parts. */
export function runMigrations(metadata: Metadata, part: string, state: MigrationState): Map<string, number> {
  const { steps, execute } = state
  const known = state.versions ?? readVersions(metadata)
  if (isUpToDate(metadata.path, known, part, steps)) return known
  return metadata.transaction(() => {
    execute('CREATE TABLE IF NOT EXISTS part_versions (part TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT, WITHOUT ROWID')
    // Read again, now with the lock: another process may have been faster.
    const versions = readVersions(metadata)
    if (isUpToDate(metadata.path, versions, part, steps)) return versions
    for (const step of steps.slice(versions.get(part) ?? 0)) execute(step)
    metadata.run('INSERT OR REPLACE INTO part_versions (part, version) VALUES (?, ?)', part, steps.length)
    return versions.set(part, steps.length)
  })
}

function readVersions(metadata: Metadata): Map<string, number> {
  try {
    const rows = metadata.all<{ part: string; version: number }>('SELECT part, version FROM part_versions')
    return new Map(rows.map(row => [row.part, row.version]))
  } catch (error) {
    if (error instanceof Error && isMissingTable(error.cause)) return new Map()
    throw error
  }
}

function isUpToDate(path: string, versions: ReadonlyMap<string, number>, part: string, steps: readonly string[]): boolean {
  const version = versions.get(part) ?? 0
  if (version > steps.length) {
    throw new StrataError(
      'unsupported',
      'STRATA_METADATA_TOO_NEW',
      `Cannot open metadata "${path}": its ${part} records have version ${version}, and this Strata knows ${steps.length}`,
      { hint: 'Use the newer Strata that wrote it, or choose another --root.' },
    )
  }
  return version === steps.length && (steps.length > 0 || versions.has(part))
}
