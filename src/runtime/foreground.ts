import type { ChildProcess } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { constants } from 'node:os'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { StrataError, systemError, type TemporaryDirectory } from '../base/index.ts'
import { runtimeError } from './runtimeErrors.ts'

/** stdin, stdout and stderr: this process's own, a pipe, nothing, or a descriptor. */
export type ForegroundStdio = readonly [ForegroundStream, ForegroundStream, ForegroundStream]
export type ForegroundStream = 'inherit' | 'pipe' | 'ignore' | number

/** A container, or one more process in one, that runs as a child of this process. */
export class ForegroundProcess {
  /** Of the runtime, which passes signals on and ends as the container's process does. */
  readonly pid: number | undefined
  readonly stdin: Writable | undefined
  readonly stdout: Readable | undefined
  readonly stderr: Readable | undefined
  /**
   * The exit code, 128 and the signal's number after a signal. Rejects when the process was never
   * started, with `STRATA_COMMAND_NOT_FOUND` or `STRATA_COMMAND_NOT_EXECUTABLE` among others.
   */
  readonly ended: Promise<number>
  readonly #child: ChildProcess

  /** @param log where the runtime writes `log.json`; removed at the end */
  constructor(child: ChildProcess, action: string, log: TemporaryDirectory) {
    this.#child = child
    this.pid = child.pid
    this.stdin = child.stdin ?? undefined
    this.stdout = child.stdout ?? undefined
    this.stderr = child.stderr ?? undefined
    this.ended = endOf(child, action, log)
  }

  /** Sends a signal by number to the container's process, through the runtime. */
  kill(signal: number): void {
    this.#child.kill(signal)
  }
}

/** Options that make a runtime write its complaints where a foreground process looks for them. */
export function logArguments(directory: string): readonly string[] {
  return ['--log', join(directory, 'log.json'), '--log-format', 'json']
}

async function endOf(child: ChildProcess, action: string, log: TemporaryDirectory): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  child.once('error', reject)
  child.once('exit', (code, signal) => resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])))
  try {
    const code = await promise
    // The runtime's own failures look like exit codes; its log tells them apart.
    const complaints = code === 0 ? '' : await readFile(join(log.path, 'log.json'), 'utf8').catch(() => '')
    if (complaints.includes('"error"')) throw runtimeError(action, complaints)
    return code
  } catch (error) {
    throw error instanceof StrataError ? error : systemError(action, error)
  } finally {
    await log[Symbol.asyncDispose]()
  }
}
