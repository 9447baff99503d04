import { spawn } from 'node:child_process'
import { constants } from 'node:fs'
import { access, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { findProgram, makeDirectory, type ProgramResult, runProgram, StrataError, systemError, TemporaryDirectory } from '../base/index.ts'
import { formatSpec } from './bundle.ts'
import type { RuntimeFacts } from './bundleOptions.ts'
import { ForegroundProcess, type ForegroundStdio, logArguments } from './foreground.ts'
import { runtimeError } from './runtimeErrors.ts'
import type { RuntimeProcess, RuntimeResources } from './runtimeSpec.ts'

/** What the runtime knows of a container. runtime-spec runtime.md#state */
export interface RuntimeState {
  readonly status: 'creating' | 'created' | 'running' | 'paused' | 'stopped'
  /** Of the container's first process, seen from the host; absent once it has stopped. */
  readonly pid?: number
  readonly bundle: string
}

export interface RuntimeOptions {
  /** Where the runtime keeps its own state: one directory per strata root, on a memory file system. */
  readonly stateDirectory: string
  readonly facts: Pick<RuntimeFacts, 'cgroups'>
  /** A path of crun or runc; looked for in $PATH unless told. */
  readonly program?: string
}

/** A program and its arguments, ready to be run. */
export interface RuntimeCommand {
  readonly file: string
  readonly args: readonly string[]
}

/**
 * Finds the machine's OCI runtime: crun, which starts a container in half the time, else runc. It is
 * only looked for, not run: that would cost each command 10 ms.
 *
 * Rejects with `unavailable` (STRATA_NO_RUNTIME) where there is neither.
 */
export async function openRuntime(options: RuntimeOptions): Promise<OciRuntime> {
  const path =
    options.program === undefined ? ((await findProgram('crun')) ?? (await findProgram('runc'))) : await executable(options.program)
  if (path === undefined) {
    throw new StrataError('unavailable', 'STRATA_NO_RUNTIME', `Cannot run containers: ${options.program ?? 'crun'} is not installed`, {
      hint: 'Install it, for example with `apt-get install crun`.',
    })
  }
  const name = basename(path)
  if (name !== 'crun' && name !== 'runc') {
    throw new StrataError('unsupported', 'STRATA_UNKNOWN_RUNTIME', `Cannot run containers with "${path}": it is neither crun nor runc`)
  }
  await makeDirectory(options.stateDirectory)
  const programs = {
    unshare: (await findProgram('unshare')) ?? '/usr/bin/unshare',
    mount: (await findProgram('mount')) ?? '/usr/bin/mount',
  }
  return new OciRuntime({ name, path, stateDirectory: options.stateDirectory, facts: options.facts, programs })
}

async function executable(path: string): Promise<string | undefined> {
  return await access(path, constants.X_OK).then(
    () => path,
    () => undefined,
  )
}

interface OpenedRuntime {
  readonly name: 'crun' | 'runc'
  readonly path: string
  readonly stateDirectory: string
  readonly facts: Pick<RuntimeFacts, 'cgroups'>
  /** util-linux's, as absolute paths: conmon looks nothing up. */
  readonly programs: { readonly unshare: string; readonly mount: string }
}

/**
 * crun or runc, one call per subcommand. Ids are the caller's and must be of `[A-Za-z0-9_+.-]`; each
 * call is one run of the program (about 7 ms) and rejects with a sentence made from its log.
 */
export class OciRuntime {
  readonly name: 'crun' | 'runc'
  readonly path: string
  /** Outlives every container. */
  readonly stateDirectory: string
  readonly #cgroups: RuntimeFacts['cgroups']
  readonly #programs: OpenedRuntime['programs']

  constructor(opened: OpenedRuntime) {
    this.name = opened.name
    this.path = opened.path
    this.stateDirectory = opened.stateDirectory
    this.#cgroups = opened.facts.cgroups
    this.#programs = opened.programs
  }

  /** As the program tells it: `1.8.1`. */
  async version(): Promise<string> {
    const { stdout } = await runProgram(this.path, ['--version'])
    return /^\w+ version (\S+)/.exec(stdout)?.[1] ?? 'unknown'
  }

  /**
   * How this runtime is run on this machine. Where crun refuses how control groups are mounted, it runs
   * in a private mount namespace in which what it must not see is covered by an empty file system
   * (`slave`: what the machine unmounts meanwhile goes away there too).
   */
  command(args: readonly string[]): RuntimeCommand {
    const { layout, covered } = this.#cgroups
    const unmanaged = layout === 'none' && this.name === 'crun' ? ['--cgroup-manager', 'disabled'] : []
    const own = ['--root', this.stateDirectory, ...unmanaged, ...args]
    if (covered === undefined || this.name === 'runc') return { file: this.path, args: own }
    const { unshare, mount } = this.#programs
    const script = '"$1" -t tmpfs none "$2" && shift 2 && exec "$@"'
    const shell = ['/bin/sh', '-c', script, 'sh', mount, covered, this.path, ...own]
    return { file: unshare, args: ['--mount', '--propagation', 'slave', '--', ...shell] }
  }

  /** Prepares a container up to its first process, which waits for `start`; its stdio is this call's, so only for tests and tools. */
  async create(container: { readonly id: string; readonly bundle: string; readonly pidFile?: string }): Promise<void> {
    const pidFile = container.pidFile === undefined ? [] : ['--pid-file', container.pidFile]
    const action = `create container "${container.id}"`
    const { ended } = await this.#foreground(action, ['inherit', 'inherit', 'inherit'], () => [
      'create',
      '--bundle',
      container.bundle,
      ...pidFile,
      checkedId(container.id),
    ])
    const code = await ended
    if (code !== 0) throw runtimeError(action, '')
  }

  /** Lets the first process run. Rejects with `STRATA_COMMAND_NOT_FOUND` or `STRATA_COMMAND_NOT_EXECUTABLE` when there is nothing to run. */
  async start(id: string): Promise<void> {
    await this.#call(`start container "${id}"`, ['start', checkedId(id)])
  }

  /** undefined when the runtime knows no such container. */
  async state(id: string): Promise<RuntimeState | undefined> {
    try {
      const { stdout } = await this.#call(`look at container "${id}"`, ['state', checkedId(id)])
      const state = JSON.parse(stdout) as { status: RuntimeState['status']; pid: number; bundle: string }
      return { status: state.status, bundle: state.bundle, ...(state.pid > 0 ? { pid: state.pid } : {}) }
    } catch (error) {
      if (error instanceof StrataError && error.kind === 'notFound') return undefined
      throw error
    }
  }

  /** Sends a signal, by number, to the first process, or to all with `all`. Rejects with `conflict` when the container does not run. */
  async kill(id: string, signal: number, options: { readonly all?: boolean } = {}): Promise<void> {
    await this.#call(`send signal ${signal} to container "${id}"`, [
      'kill',
      ...(options.all === true ? ['--all'] : []),
      checkedId(id),
      String(signal),
    ])
  }

  /** Forgets a stopped container and removes its cgroups; with `force`, kills it before, and an unknown one is nothing to do. */
  async delete(id: string, options: { readonly force?: boolean } = {}): Promise<void> {
    try {
      await this.#call(`delete container "${id}"`, ['delete', ...(options.force === true ? ['--force'] : []), checkedId(id)])
    } catch (error) {
      if (options.force === true && error instanceof StrataError && error.kind === 'notFound') return
      throw error
    }
  }

  async pause(id: string): Promise<void> {
    await this.#call(`pause container "${id}"`, ['pause', checkedId(id)])
  }

  async resume(id: string): Promise<void> {
    await this.#call(`resume container "${id}"`, ['resume', checkedId(id)])
  }

  /** The processes of a container, as ids of the host. */
  async processes(id: string): Promise<readonly number[]> {
    const { stdout } = await this.#call(`list the processes of container "${id}"`, ['ps', '--format', 'json', checkedId(id)])
    return JSON.parse(stdout) as number[]
  }

  /** Changes the limits of a container; those that are not named stay. */
  async update(id: string, resources: Omit<RuntimeResources, 'devices'>): Promise<void> {
    await using scratch = await TemporaryDirectory.create(this.stateDirectory, '.update-')
    const path = join(scratch.path, 'resources.json')
    await writeFile(path, JSON.stringify(resources), { mode: 0o600 })
    await this.#call(`update container "${id}"`, ['update', '--resources', path, checkedId(id)])
  }

  /** The runtime's own account of what it can; undefined where it is too old to have one (crun before 1.9). runtime-spec features.md */
  async features(): Promise<Readonly<Record<string, unknown>> | undefined> {
    const { code, stdout } = await this.#run(['features'])
    return code === 0 ? (JSON.parse(stdout) as Record<string, unknown>) : undefined
  }

  /**
   * Runs a container to its end as a child of this process, without a monitor: no log, no exit file,
   * nobody to attach later, and it is deleted at its end. Half the time of a monitored start.
   */
  async run(container: { readonly id: string; readonly bundle: string; readonly stdio: ForegroundStdio }): Promise<ForegroundProcess> {
    return await this.#foreground(`start container "${container.id}"`, container.stdio, () => [
      'run',
      '--bundle',
      container.bundle,
      checkedId(container.id),
    ])
  }

  /** Runs one more process in a running container as a child of this process, without a monitor. */
  async exec(session: {
    readonly id: string
    readonly process: RuntimeProcess
    readonly stdio: ForegroundStdio
  }): Promise<ForegroundProcess> {
    return await this.#foreground(`run a command in container "${session.id}"`, session.stdio, async scratch => {
      const path = join(scratch, 'process.json')
      await writeFile(path, formatSpec(session.process), { mode: 0o600 })
      return ['exec', '--process', path, checkedId(session.id)]
    })
  }

  /** @param plan the arguments, given a directory that lives as long as the runtime runs */
  async #foreground(
    action: string,
    stdio: ForegroundStdio,
    plan: (scratch: string) => readonly string[] | Promise<readonly string[]>,
  ): Promise<ForegroundProcess> {
    const scratch = await TemporaryDirectory.create(this.stateDirectory, '.run-')
    try {
      const { file, args } = this.command([...logArguments(scratch.path), ...(await plan(scratch.path))])
      // detached: Ctrl-C at our terminal is ours to pass on, or the container would get it twice.
      return new ForegroundProcess(spawn(file, args, { stdio: [...stdio], detached: true }), action, scratch)
    } catch (error) {
      await scratch[Symbol.asyncDispose]()
      throw systemError(action, error)
    }
  }

  async #call(action: string, args: readonly string[]): Promise<{ stdout: string }> {
    const { code, stdout, stderr } = await this.#run(args)
    if (code !== 0) throw runtimeError(action, stderr)
    return { stdout }
  }

  async #run(args: readonly string[]): Promise<ProgramResult> {
    const { file, args: all } = this.command(['--log-format', 'json', ...args])
    return await runProgram(file, all)
  }
}

/** Ids become file names and arguments of the runtime: nothing that could be an option or a path. */
export function checkedId(id: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9_+.-]{0,1023}$/.test(id)) return id
  throw new StrataError(
    'invalidArgument',
    'STRATA_INVALID_ID',
    `Cannot use container id "${id.slice(0, 80)}": expected letters, digits, "_", "+", "." and "-"`,
  )
}
