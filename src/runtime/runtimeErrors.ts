import { type ErrorKind, StrataError } from '../base/index.ts'

/** What crun and runc say, in the order in which it is looked for → what it means. */
const MEANINGS: readonly (readonly [pattern: RegExp, kind: ErrorKind, code: `STRATA_${string}`, state?: string])[] = [
  // crun 1.8: executable file `x` not found in $PATH; runc: exec: "x": executable file not found / stat x: no such file
  [/executable file .*not found|exec: ".*": stat .*no such file or directory/i, 'notFound', 'STRATA_COMMAND_NOT_FOUND'],
  [
    /chdir .*no such file or directory/i,
    'notFound',
    'STRATA_NO_WORKING_DIRECTORY',
    'the working directory does not exist in the container',
  ],
  // crun opens the executable itself (1.21: the path `x` is not a regular file, or exists but it is not executable); runc says exec: "x": permission denied, or is a directory.
  [
    /open executable|cannot open `[^`]*`: Not a directory|the path .* (?:is not a regular file|exists but it is not executable)|exec container process .*(?:permission denied|exec format error|not permitted|is a directory)|exec: ".*": (?:permission denied|is a directory)|exec format error/i,
    'invalidArgument',
    'STRATA_COMMAND_NOT_EXECUTABLE',
  ],
  [/exec container process .*no such file or directory/i, 'notFound', 'STRATA_COMMAND_NOT_FOUND'],
  [
    /error opening file `[^`]*\/status`: No such file|container(?: `.*`)? does not exist|cannot open directory .*No such file/i,
    'notFound',
    'STRATA_NO_SUCH_CONTAINER',
    'the runtime knows no such container',
  ],
  [/container .*already exists|container with id exists/i, 'alreadyExists', 'STRATA_CONTAINER_EXISTS', 'there is one of that id already'],
  [
    /(?:is )?not (?:running|in `?(?:created|running|paused))|exec\.fifo.*No such file|process already finished|open pidfd: No such process|setns\(.*No such process|container not running|cannot .* a (?:stopped|paused) container|not paused/i,
    'conflict',
    'STRATA_CONTAINER_STATE',
  ],
  [/cgroups in hybrid mode not supported/i, 'unsupported', 'STRATA_CGROUPS'],
  [/No space left on device/i, 'resourceExhausted', 'STRATA_ENOSPC'],
]

/**
 * One sentence from the complaints of a runtime.
 *
 * @param action what was tried, without "Cannot": `start container "x"`
 * @param log lines of JSON with `msg`, as `--log-format json` makes them; other lines are taken as they are
 */
export function runtimeError(action: string, log: string): StrataError {
  const message = firstComplaint(log) ?? 'the runtime gave no reason'
  for (const [pattern, kind, code, state] of MEANINGS) {
    if (pattern.test(message)) return new StrataError(kind, code, `Cannot ${action}: ${state ?? tidy(message)}`)
  }
  return new StrataError('internal', 'STRATA_RUNTIME_FAILED', `Cannot ${action}: ${tidy(message)}`)
}

/** The most telling line: the first error of a log, since those that follow are its consequences. */
export function firstComplaint(log: string): string | undefined {
  const lines = log.split('\n').filter(line => line.trim() !== '')
  const entries = lines.map(parseLine)
  return (entries.find(entry => entry.level === 'error') ?? entries.at(-1))?.message
}

function parseLine(line: string): { level: string; message: string } {
  try {
    const { level, msg } = JSON.parse(line) as { level?: string; msg?: string }
    if (typeof msg === 'string') return { level: level ?? 'error', message: msg }
  } catch {
    // Not JSON: a line of a library, or of the shell that starts the runtime.
  }
  return { level: 'error', message: line }
}

/** Without the runtime's own preambles, and without a full stop. */
function tidy(message: string): string {
  return message
    .replace(/^runc \w+ failed: /, '')
    .replace(/^unable to start container process: /, '')
    .replace(/^open executable: /, 'the command is not a program that may be run: ')
    .replace(/[.\s]+$/, '')
    .replaceAll('`', '"')
}
