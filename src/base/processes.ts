import { spawn } from 'node:child_process'
import { accessSync, constants, existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { StrataError, systemError } from './errors.ts'

export interface ProgramOptions {
  readonly input?: string | Uint8Array
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly cwd?: string
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

export interface ProgramResult {
  /** The exit code; undefined when a signal ended the program. */
  readonly code: number | undefined
  readonly signal: NodeJS.Signals | undefined
  readonly stdout: string
  readonly stderr: string
}

/** Programs print their complaints in a few lines; more than 16 MiB is not kept. */
const OUTPUT_LIMIT = 16 * 1024 * 1024

/**
 * Runs a program to its end, without a shell, and collects what it prints. A non-zero exit is a
 * result, not a rejection.
 *
 * Rejects with `notFound` when there is no such program and `unavailable` when the time is over.
 */
export async function runProgram(file: string, args: readonly string[], options: ProgramOptions = {}): Promise<ProgramResult> {
  const { promise, resolve, reject } = Promise.withResolvers<ProgramResult>()
  const child = spawn(file, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    ...(options.env === undefined ? {} : { env: options.env }),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  })
  const output = { stdout: [] as Buffer[], stderr: [] as Buffer[] }
  for (const name of ['stdout', 'stderr'] as const) {
    let size = 0
    child[name].on('data', (chunk: Buffer) => {
      size += chunk.length
      if (size <= OUTPUT_LIMIT) output[name].push(chunk)
    })
  }
  let timedOut = false
  const timer =
    options.timeoutMs === undefined
      ? undefined
      : setTimeout(() => {
          timedOut = true
          child.kill('SIGKILL')
        }, options.timeoutMs)
  child.on('error', error => reject(systemError(`run "${file}"`, error)))
  child.on('close', (code, signal) => {
    if (timedOut) {
      reject(
        new StrataError('unavailable', 'STRATA_PROGRAM_TIMEOUT', `Cannot run "${file}": it did not end within ${options.timeoutMs} ms`),
      )
    }
    resolve({
      code: code ?? undefined,
      signal: signal ?? undefined,
      stdout: Buffer.concat(output.stdout).toString(),
      stderr: Buffer.concat(output.stderr).toString(),
    })
  })
  // A program that exits before it has read its input breaks the pipe; its exit code tells more.
  child.stdin.on('error', () => undefined)
  child.stdin.end(options.input)
  try {
    return await promise
  } finally {
    clearTimeout(timer)
  }
}

/** Where Debian, Fedora and Alpine put the helper programs of container engines, after $PATH. */
const HELPER_DIRECTORIES = ['/usr/sbin', '/sbin', '/usr/libexec/podman', '/usr/lib/podman', '/usr/local/libexec/podman']

/** The absolute path of a program of this machine (never of an image), or undefined. */
export async function findProgram(name: string): Promise<string | undefined> {
  for (const directory of [...(process.env['PATH'] ?? '').split(delimiter), ...HELPER_DIRECTORIES]) {
    if (directory === '') continue
    const path = join(directory, name)
    // Asked at once: a look at a directory takes microseconds, and its way through another thread a hundred.
    if (!existsSync(path)) continue
    try {
      accessSync(path, constants.X_OK)
      return path
    } catch {
      // Not for us; the next directory may have it.
    }
  }
  return undefined
}
