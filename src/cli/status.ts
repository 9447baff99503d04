import { cancellationOf, isStrataError } from '../base/index.ts'
import { UsageError } from './usageError.ts'

/** The verbs whose own failures must not look like an exit code of the container's process. */
const RUNS_A_CONTAINER: ReadonlySet<string> = new Set(['run', 'container run'])
/** docker ends these with the same code for flags that make no sense together, and with 1 for everything later. */
const CREATES_A_CONTAINER: ReadonlySet<string> = new Set(['create', 'container create'])

/** docker says of whatever keeps a further command from being started that it cannot be run. */
const EXECUTES: ReadonlySet<string> = new Set(['exec', 'container exec'])
const UNKNOWN: ReadonlySet<string> = new Set(['STRATA_UNKNOWN_USER', 'STRATA_UNKNOWN_GROUP'])

const BY_CODE: Readonly<Record<string, number>> = {
  STRATA_COMMAND_NOT_FOUND: 127,
  STRATA_COMMAND_NOT_EXECUTABLE: 126,
  STRATA_NO_WORKING_DIRECTORY: 127,
  // docker's own check of the terminal comes before anything of the container's.
  STRATA_NOT_A_TERMINAL: 1,
  // 128 + SIGTERM
  STRATA_TERMINATED: 143,
}

/** 128 + SIGINT: what shells expect of a program that Ctrl-C ended. */
const INTERRUPTED = 130

/**
 * The exit code for what went wrong, as docker's.
 *
 * @param verb as it was typed: `run`, `container create`
 */
export function exitStatus(failure: unknown, verb: string): number {
  const error = cancellationOf(failure) ?? failure
  if (error instanceof UsageError) return error.fault === 'flag' ? 125 : 1
  if (isStrataError(error)) {
    const status = BY_CODE[error.code]
    if (status !== undefined) return status
    if (EXECUTES.has(verb) && UNKNOWN.has(error.code)) return 126
    if (error.kind === 'cancelled') return INTERRUPTED
  }
  if (CREATES_A_CONTAINER.has(verb)) return isStrataError(error, 'invalidArgument') ? 125 : 1
  return RUNS_A_CONTAINER.has(verb) ? 125 : 1
}
