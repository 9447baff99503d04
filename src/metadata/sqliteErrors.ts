import { StrataError } from '../base/index.ts'

/** Primary result codes of https://sqlite.org/rescode.html; the low byte of an extended code is its primary one. */
const SQLITE = {
  PERM: 3,
  BUSY: 5,
  LOCKED: 6,
  READONLY: 8,
  IOERR: 10,
  CORRUPT: 11,
  FULL: 13,
  CANTOPEN: 14,
  CONSTRAINT: 19,
  NOTADB: 26,
} as const
/** Extended code: no space for the shared memory file. */
const IOERR_SHMSIZE = SQLITE.IOERR | (19 << 8)
/** Extended codes of the two constraints that mean "it is there already". */
const ALREADY_THERE: ReadonlySet<number> = new Set([
  SQLITE.CONSTRAINT | (6 << 8),
  SQLITE.CONSTRAINT | (8 << 8),
  SQLITE.CONSTRAINT | (10 << 8),
])

/** The result code of an error of node:sqlite, or undefined for any other error. */
function resultCodeOf(error: unknown): number | undefined {
  return error instanceof Error && 'errcode' in error && typeof error.errcode === 'number' ? error.errcode : undefined
}

/** Tells whether SQLite gave up because another process holds the lock. */
export function isBusy(error: unknown): boolean {
  const code = resultCodeOf(error)
  return code !== undefined && (code & 0xff) === SQLITE.BUSY
}

/** Tells whether a statement names a table that the database does not have. */
export function isMissingTable(error: unknown): boolean {
  return resultCodeOf(error) === 1 && error instanceof Error && error.message.startsWith('no such table')
}

/** Turns an error of node:sqlite into a StrataError about the database `path`; any other error passes unchanged. */
export function metadataError(path: string, cause: unknown): unknown {
  const code = resultCodeOf(cause)
  if (code === undefined || !(cause instanceof Error)) return cause
  const about = `metadata "${path}"`
  switch (code & 0xff) {
    case SQLITE.BUSY:
    case SQLITE.LOCKED:
      return new StrataError('unavailable', 'STRATA_METADATA_BUSY', `Cannot lock ${about}: another process keeps it locked`, {
        cause,
        hint: 'Wait until the other strata commands are done, and try again.',
      })
    case SQLITE.CORRUPT:
    case SQLITE.NOTADB:
      return new StrataError('dataLoss', 'STRATA_METADATA_CORRUPT', `Cannot read ${about}: the database is damaged`, {
        cause,
        hint: 'Check the disk, then restore the file from a backup, or move the whole root aside and pull the images again.',
      })
    case SQLITE.FULL:
      return noSpace(about, cause)
    case SQLITE.IOERR:
      if (code === IOERR_SHMSIZE) return noSpace(about, cause)
      return new StrataError('dataLoss', 'STRATA_EIO', `Cannot read or write ${about}: the disk reported an input/output error`, { cause })
    case SQLITE.PERM:
    case SQLITE.READONLY:
    case SQLITE.CANTOPEN:
      return new StrataError('permissionDenied', 'STRATA_METADATA_UNWRITABLE', `Cannot open ${about} for writing: ${cause.message}`, {
        cause,
        hint: 'Run the command as the owner of the root directory, or choose another --root.',
      })
    case SQLITE.CONSTRAINT:
      return ALREADY_THERE.has(code)
        ? new StrataError('alreadyExists', 'STRATA_RECORD_EXISTS', `Cannot write ${about}: ${cause.message}`, { cause })
        : new StrataError('conflict', 'STRATA_RECORD_CONFLICT', `Cannot write ${about}: ${cause.message}`, { cause })
    default:
      return new StrataError('internal', 'STRATA_METADATA_FAILED', `Cannot use ${about}: ${cause.message}`, { cause })
  }
}

function noSpace(about: string, cause: Error): StrataError {
  return new StrataError('resourceExhausted', 'STRATA_ENOSPC', `Cannot write ${about}: no space left on device`, {
    cause,
    hint: 'Free some space, for example with `strata image prune`, and try again.',
  })
}
