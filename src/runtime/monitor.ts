import { type ChildProcess, spawn } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { errnoOf, findProgram, makeDirectory, runProgram, StrataError, systemError } from '../base/index.ts'
import { type Attachment, attach } from './attachment.ts'
import { formatSpec } from './bundle.ts'
import { checkedId, type OciRuntime } from './ociRuntime.ts'
import { runtimeError } from './runtimeErrors.ts'
import type { RuntimeProcess } from './runtimeSpec.ts'
import { readMessages, type SyncMessage } from './syncPipe.ts'

/*
 * A monitored container or exec session lives in one directory, its bundle, best on a memory file
 * system: conmon syncs what it writes.
 *
 *   config.json   the bundle (container), process.json (exec session)
 *   pid           id of the first process, as the host sees it
 *   attach        socket of messages: the stdio
 *   ctl           FIFO: sizes of the terminal
 *   winsz         FIFO of conmon, unused here
 *   <id>          the exit code, once it has ended; <id> is the container's, also for a session
 *   oom           exists if the container ran out of memory
 */

export interface MonitoredContainer {
  readonly id: string
  /** The bundle's directory, with config.json; conmon puts its own files there too. */
  readonly directory: string
  /** Absent: nothing is kept. At `maxBytes` conmon starts the file afresh. */
  readonly log?: { readonly path: string; readonly maxBytes?: number }
  /** Must agree with the bundle's `process.terminal`. */
  readonly terminal?: boolean
  /** Gives the process a stdin to write to; otherwise it reads the end of file at once. */
  readonly stdin?: boolean
  /** The process's stdin stays open when whoever was attached has gone. */
  readonly leaveStdinOpen?: boolean
  /** Run by the monitor after the exit code is written: an absolute path and its arguments. */
  readonly exitCommand?: readonly [program: string, ...args: string[]]
}

export interface MonitoredSession {
  /** The container. */
  readonly id: string
  /** The session's own directory, used by nothing else; made where it is missing. */
  readonly directory: string
  readonly process: RuntimeProcess
  readonly stdin?: boolean
  /** Connects before the process starts, so that nothing it writes is missed. */
  readonly attach?: boolean
  readonly exitCommand?: readonly [program: string, ...args: string[]]
}

export interface MonitoredProcess {
  /** Of the container's or session's first process, as the host sees it. */
  readonly pid: number
  readonly monitorPid: number
}

export interface MonitoredExec extends MonitoredProcess {
  /** Only when `attach` was asked for. */
  readonly attachment?: Attachment
}

/** Finds conmon. Rejects with `unavailable` (STRATA_NO_MONITOR) where it is not installed. */
export async function openMonitor(options: { readonly runtime: OciRuntime; readonly program?: string }): Promise<Monitor> {
  const path = options.program ?? (await findProgram('conmon'))
  if (path === undefined) throw missingMonitor('conmon')
  return new Monitor(path, options.runtime)
}

function missingMonitor(path: string, cause?: unknown): StrataError {
  return new StrataError('unavailable', 'STRATA_NO_MONITOR', `Cannot keep containers running: ${path} is not installed`, {
    hint: 'Install it, for example with `apt-get install conmon`.',
    ...(cause === undefined ? {} : { cause }),
  })
}

/** What the monitor and the exit command get of our environment: enough to find programs and our own state, no secrets. */
const PASSED_ON = ['PATH', 'HOME', 'TMPDIR', 'XDG_DATA_HOME', 'XDG_RUNTIME_DIR', 'STRATA_ROOT']

/** First descriptors after stdio, by place in `stdio` of `spawn`. */
const SYNC_FD = 3
const START_FD = 4
const ATTACH_FD = 5

/**
 * conmon: a small process per container that outlives this one, holds its stdio, writes the log and
 * the exit code, and runs the exit command. Its log format is `k8s-file`: of those it can write to a
 * file there is no other (what it calls json-file is the same), and it survives partial lines.
 */
export class Monitor {
  readonly path: string
  readonly #runtime: OciRuntime

  constructor(path: string, runtime: OciRuntime) {
    this.path = path
    this.#runtime = runtime
  }

  /** As the program tells it: `2.1.6`. */
  async version(): Promise<string> {
    const { stdout } = await runProgram(this.path, ['--version'])
    return /version (\S+)/.exec(stdout)?.[1] ?? 'unknown'
  }

  /**
   * Creates a container under a monitor. Its process waits for `OciRuntime.start`: attach before, and
   * nothing is missed. Rejects with the runtime's complaint as a sentence; the monitor has ended then.
   */
  async create(container: MonitoredContainer): Promise<MonitoredProcess> {
    const action = `create container "${container.id}"`
    const { directory } = container
    const args = [
      ...this.#commonArguments(container.id, directory, container.exitCommand),
      ...logArguments(container.log),
      ...(container.terminal === true ? ['--terminal'] : []),
      ...(container.stdin === true ? ['--stdin'] : []),
      ...(container.leaveStdinOpen === true ? ['--leave-stdin-open'] : []),
    ]
    using started = this.#spawn(args, ['ignore', 'ignore', 'pipe', 'pipe'])
    return { pid: await started.processId(action), monitorPid: started.monitorPid }
  }

  /** Runs one more process in a running container under a monitor of its own. */
  async exec(session: MonitoredSession): Promise<MonitoredExec> {
    const action = `run a command in container "${session.id}"`
    const { directory, process } = session
    await makeDirectory(directory)
    const specPath = join(directory, 'process.json')
    // A runtime that has given the terminal away complains into it, where nobody looks for the reason of a failure.
    const runtimeLog = join(directory, 'log.json')
    await writeFile(specPath, formatSpec(process), { mode: 0o600 })
    const args = [
      ...this.#commonArguments(session.id, directory, session.exitCommand, process.terminal ? ['--log', runtimeLog] : []),
      ...logArguments(undefined),
      ...['--exec', '--exec-process-spec', specPath],
      ...(session.attach === true ? ['--exec-attach'] : []),
      ...(process.terminal ? ['--terminal'] : []),
      ...(session.stdin === true ? ['--stdin'] : []),
    ]
    if (session.attach !== true) {
      using started = this.#spawn(args, ['ignore', 'ignore', 'pipe', 'pipe'])
      return { pid: await started.processId(action, runtimeLog), monitorPid: started.monitorPid }
    }
    using started = this.#spawn(args, ['ignore', 'ignore', 'pipe', 'pipe', 'pipe', 'pipe'])
    started.proceed()
    await started.attachable(action)
    const attachment = attach(directory)
    try {
      started.proceed()
      return { pid: await started.processId(action, runtimeLog), monitorPid: started.monitorPid, attachment }
    } catch (error) {
      attachment.close()
      throw error
    }
  }

  #commonArguments(
    id: string,
    directory: string,
    exitCommand: readonly string[] | undefined,
    runtimeOptions: readonly string[] = [],
  ): string[] {
    const { file, args } = this.#runtime.command(['--log-format', 'json', ...runtimeOptions])
    const [program, ...rest] = exitCommand ?? []
    return [
      // One fork less, and the process that is started is the monitor: no pid file, which conmon would sync.
      '--sync',
      ...['--api-version', '1', '--cid', checkedId(id), '--cuuid', id, '--name', id],
      ...['--runtime', file, ...args.flatMap(arg => ['--runtime-arg', arg])],
      ...['--bundle', directory, '--full-attach', '--container-pidfile', join(directory, 'pid')],
      ...['--exit-dir', directory, '--persist-dir', directory, '--log-level', 'error'],
      ...(program === undefined ? [] : ['--exit-command', program, ...rest.flatMap(arg => ['--exit-command-arg', arg])]),
    ]
  }

  #spawn(args: readonly string[], stdio: ('ignore' | 'pipe')[]): StartingMonitor {
    const env: Record<string, string> = { _OCI_SYNCPIPE: String(SYNC_FD) }
    if (stdio.length > START_FD) Object.assign(env, { _OCI_STARTPIPE: String(START_FD), _OCI_ATTACHPIPE: String(ATTACH_FD) })
    for (const name of PASSED_ON) {
      const value = process.env[name]
      if (value !== undefined) env[name] = value
    }
    // Where the exit command runs as well, and conmon leaves a file when memory runs out: not where the user happens to be.
    const cwd = this.#runtime.stateDirectory
    // detached: a Ctrl-C that interrupts us does not reach a monitor that is about to start.
    return new StartingMonitor(spawn(this.path, args, { stdio, env, cwd, detached: true }))
  }
}

/** A log that is not kept still needs a driver; conmon without one refuses to start. */
function logArguments(log: MonitoredContainer['log']): string[] {
  if (log === undefined) return ['--log-path', 'none']
  // Without --no-sync-log the end of a container waits for the disk; a log may lose its last lines to a power cut.
  return [
    '--log-path',
    `k8s-file:${log.path}`,
    '--no-sync-log',
    ...(log.maxBytes === undefined ? [] : ['--log-size-max', String(log.maxBytes)]),
  ]
}

/** The near end of a descriptor that was given to `spawn` as a pipe. */
function pipeOf(child: ChildProcess, fd: number): Readable {
  return (child.stdio as readonly unknown[])[fd] as Readable
}

/** The time between the start of a monitor and its report, in which it is still our child to talk to. */
class StartingMonitor implements Disposable {
  readonly #child: ChildProcess
  readonly #failed: Promise<never>
  readonly #reports: AsyncIterator<SyncMessage, undefined>
  #complaints = ''

  constructor(child: ChildProcess) {
    this.#child = child
    this.#failed = new Promise((_, reject) => {
      child.once('error', reject)
    })
    this.#failed.catch(() => undefined)
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#complaints += text.slice(0, 4096)
    })
    this.#reports = readMessages(pipeOf(child, SYNC_FD))
  }

  get monitorPid(): number {
    return this.#child.pid ?? 0
  }

  /** Lets a monitor that waits at its start pipe go on. */
  proceed(): void {
    const pipe = this.#child.stdio[START_FD]
    if (pipe !== null && pipe !== undefined && 'write' in pipe) pipe.write('.')
  }

  /** Waits until the attach socket of a session is there. */
  async attachable(action: string): Promise<void> {
    const reports = readMessages(pipeOf(this.#child, ATTACH_FD))
    this.#check(action, await this.#next(action, reports))
  }

  /** @param runtimeLog where the runtime may have written why it failed */
  async processId(action: string, runtimeLog?: string): Promise<number> {
    const report = await this.#next(action, this.#reports)
    const log = report.data < 0 && runtimeLog !== undefined ? await readFile(runtimeLog, 'utf8').catch(() => '') : ''
    return this.#check(action, log === '' ? report : { data: -1, message: log })
  }

  async #next(action: string, reports: AsyncIterator<SyncMessage, undefined>): Promise<SyncMessage> {
    let report: IteratorResult<SyncMessage, undefined>
    try {
      report = await Promise.race([reports.next(), this.#failed])
    } catch (error) {
      throw errnoOf(error) === 'ENOENT' ? missingMonitor(this.#child.spawnfile, error) : systemError(action, error)
    }
    if (report.done !== true) return report.value
    return { data: -1, message: this.#complaints === '' ? 'the monitor ended without a word' : this.#complaints }
  }

  #check(action: string, report: SyncMessage): number {
    if (report.data >= 0) return report.data
    throw runtimeError(action, report.message ?? this.#complaints)
  }

  /** Lets go of the monitor: it lives on, this process may end. */
  [Symbol.dispose](): void {
    for (const pipe of this.#child.stdio) {
      if (pipe !== null && pipe !== undefined) pipe.destroy()
    }
    this.#child.unref()
  }
}
