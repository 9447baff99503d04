/**
 * What went wrong, as the few kinds that callers can act on. Protocol tables (exit codes, HTTP
 * statuses) map a kind, never a code or a message.
 */
export type ErrorKind =
  | 'notFound'
  | 'alreadyExists'
  | 'conflict'
  | 'invalidArgument'
  | 'permissionDenied'
  | 'unauthorized'
  | 'unsupported'
  | 'unavailable'
  | 'resourceExhausted'
  | 'dataLoss'
  | 'cancelled'
  | 'internal'

export interface ErrorDetails {
  readonly cause?: unknown
  /** What the user can do about it: one sentence. */
  readonly hint?: string
  /** Where it is, as lines of what was read: they stand below the sentence. */
  readonly excerpt?: readonly string[]
}

/**
 * The one error class. `message` has the grammar `Cannot <verb> <what>: <state>`; tests and callers
 * look at `code` or `kind`.
 */
export class StrataError extends Error {
  readonly kind: ErrorKind
  readonly code: `STRATA_${string}`
  readonly hint: string | undefined
  readonly excerpt: readonly string[]

  constructor(kind: ErrorKind, code: `STRATA_${string}`, message: string, details: ErrorDetails = {}) {
    super(message, 'cause' in details ? { cause: details.cause } : undefined)
    this.name = 'StrataError'
    this.kind = kind
    this.code = code
    this.hint = details.hint
    this.excerpt = details.excerpt ?? []
  }
}

/** Tells whether `error` is a StrataError (of any copy of this module), optionally of one kind. */
export function isStrataError(error: unknown, kind?: ErrorKind): error is StrataError {
  return error instanceof Error && error.name === 'StrataError' && (kind === undefined || (error as StrataError).kind === kind)
}

/** The `errno` name (`ENOENT`, …) of an error of Node or of the kernel door, if it has one. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined
  return typeof error.code === 'string' && /^E[A-Z0-9]+$/.test(error.code) ? error.code : undefined
}

/**
 * Why an operation was given up, where `error` is Node's AbortError: the reason of the signal that ended it, in place of the
 * AbortError that Node wraps around it. Undefined for every other error.
 */
export function cancellationOf(error: unknown): StrataError | undefined {
  if (!(error instanceof Error) || error.name !== 'AbortError') return undefined
  if (isStrataError(error.cause, 'cancelled')) return error.cause
  return new StrataError('cancelled', 'STRATA_CANCELLED', 'the operation was cancelled', { cause: error })
}

const STATES: Readonly<Record<string, readonly [ErrorKind, string, string?]>> = {
  ENOENT: ['notFound', 'no such file or directory'],
  EEXIST: ['alreadyExists', 'it exists already'],
  EACCES: ['permissionDenied', 'permission denied', 'Run the command as root, or choose another --root.'],
  EPERM: ['permissionDenied', 'operation not permitted', 'Run the command as root, or choose another --root.'],
  EROFS: ['permissionDenied', 'the file system is read-only'],
  ENOSPC: ['resourceExhausted', 'no space left on device', 'Free some space, for example with `strata image prune`, and try again.'],
  EDQUOT: ['resourceExhausted', 'the disk quota is used up', 'Free some space and try again.'],
  EMFILE: ['resourceExhausted', 'too many open files', 'Raise the limit with `ulimit -n`.'],
  EIO: ['dataLoss', 'the disk reported an input/output error'],
  ENOTDIR: ['invalidArgument', 'a part of the path is not a directory'],
  EISDIR: ['invalidArgument', 'it is a directory'],
  ECONNREFUSED: ['unavailable', 'the connection was refused'],
  ENOTFOUND: ['unavailable', 'the host name cannot be resolved'],
  ETIMEDOUT: ['unavailable', 'the connection timed out'],
}

/**
 * Turns an error of the operating system into a StrataError that says what could not be done.
 * StrataErrors pass through unchanged, and an AbortError is the reason why it was aborted.
 *
 * @param action what was tried, without "Cannot": `read "/etc/x"`
 */
export function systemError(action: string, cause: unknown): StrataError {
  if (isStrataError(cause)) return cause
  const cancellation = cancellationOf(cause)
  if (cancellation !== undefined) return cancellation
  const errno = errnoOf(cause)
  const known = errno === undefined ? undefined : STATES[errno]
  if (known === undefined) {
    const state = cause instanceof Error ? cause.message : String(cause)
    return new StrataError('internal', errno === undefined ? 'STRATA_INTERNAL' : `STRATA_${errno}`, `Cannot ${action}: ${state}`, { cause })
  }
  const [kind, state, hint] = known
  return new StrataError(kind, `STRATA_${errno}`, `Cannot ${action}: ${state}`, hint === undefined ? { cause } : { cause, hint })
}
