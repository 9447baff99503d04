import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { identityOf, isAlive, StrataError, systemError } from '../base/index.ts'
import { ConfinedRoot } from '../host/index.ts'
import {
  type ForegroundProcess,
  type MonitoredExec,
  parseSignal,
  planProcess,
  type ProcessOptions,
  readRuntimeFacts,
  resolveUser,
  type RuntimeProcess,
  waitExit,
} from '../runtime/index.ts'
import { processOptions, withHome } from './bundlePlan.ts'
import type { Installation } from './installation.ts'
import { mergeEnvironment } from './mergedConfig.ts'
import type { ContainerRecord } from './record.ts'
import { ProcessPipes, spawnWith } from './processPipes.ts'
import { feed, forwardOutput, relay, writeTo } from './relay.ts'
import type { ExecOptions, ExecRun } from './requests.ts'
import { notRunning } from './stop.ts'
import type { AttachedStreams, AttachmentEnd, TerminalSize } from './streams.ts'

const NEVER = new Promise<never>(() => undefined)

interface Session {
  readonly execId: string
  readonly process: RuntimeProcess
  readonly streams: AttachedStreams | undefined
}

/**
 * Runs one more process in a running container. With a terminal, or for nobody, it gets a monitor of
 * its own; else it is a child of this process, and goes with its streams.
 */
export async function execInContainer(
  installation: Installation,
  record: ContainerRecord,
  { options, streams }: { readonly options: ExecOptions; readonly streams: AttachedStreams | undefined },
): Promise<ExecRun> {
  const { status } = record.state
  if (status === 'paused') {
    throw new StrataError('conflict', 'STRATA_CONTAINER_PAUSED', `Cannot run a command in container "${record.name}": it is paused`, {
      hint: 'Unpause it before.',
    })
  }
  if (status !== 'running') throw notRunning(record, 'run a command in')
  const sizes = options.tty === true ? streams?.resizes?.[Symbol.asyncIterator]() : undefined
  const process = await plan(installation, record, { options, size: (await sizes?.next())?.value })
  const rest = sizes === undefined ? {} : { resizes: { [Symbol.asyncIterator]: (): AsyncIterator<TerminalSize> => sizes } }
  const session: Session = {
    execId: randomBytes(32).toString('hex'),
    process,
    streams: streams === undefined ? undefined : { ...streams, ...rest },
  }
  return options.tty === true || streams === undefined
    ? await execMonitored(installation, record, session)
    : await execForeground(installation, record, session)
}

async function plan(
  installation: Installation,
  { id, definition }: ContainerRecord,
  { options, size }: { readonly options: ExecOptions; readonly size: TerminalSize | undefined },
): Promise<RuntimeProcess> {
  using root = new ConfinedRoot(installation.paths.rootfs(id))
  const groups = definition.options.groups
  const user = resolveUser(root, options.user ?? definition.config.User, groups === undefined ? {} : { groups })
  const facts = options.privileged === true ? await readRuntimeFacts() : await installation.facts()
  const base = processOptions(definition, user)
  const wanted: ProcessOptions = {
    ...base,
    args: options.command,
    env: withHome(mergeEnvironment(definition.config.Env, options.env ?? []), user.home),
    terminal: options.tty === true,
    ...(options.workingDirectory === undefined ? {} : { cwd: options.workingDirectory }),
    ...(options.privileged === true ? { privileged: true } : {}),
    ...(size === undefined ? {} : { consoleSize: { width: size.columns, height: size.rows } }),
  }
  return planProcess(wanted, facts).process
}

async function execForeground(
  installation: Installation,
  { id }: ContainerRecord,
  { execId, process, streams }: Session,
): Promise<ExecRun> {
  const runtime = await installation.runtime()
  const pipes = new ProcessPipes(streams?.stdin !== undefined)
  const child = await spawnWith(pipes, () => runtime.exec({ id, process, stdio: pipes.stdio }))
  const ended = followForeground(installation, { child, pipes, streams: streams ?? {} })
  ended.catch(() => undefined)
  return {
    execId,
    ended,
    kill: async signal => child.kill(parseSignal(signal)),
  }
}

async function followForeground(
  installation: Installation,
  { child, pipes, streams }: { readonly child: ForegroundProcess; readonly pipes: ProcessPipes; readonly streams: AttachedStreams },
): Promise<AttachmentEnd> {
  if (pipes.stdin !== undefined && streams.stdin !== undefined) {
    feed(streams.stdin, pipes.stdin).catch((error: unknown) => installation.logger.warn('the input of a command broke off', { error }))
  }
  const output = forwardOutput(pipes, child.ended, {
    stdout: bytes => writeTo(streams.stdout, bytes),
    stderr: bytes => writeTo(streams.stderr, bytes),
  })
  const exitCode = await child.ended
  await output
  return { kind: 'exited', exitCode }
}

async function execMonitored(installation: Installation, { id }: ContainerRecord, { execId, process, streams }: Session): Promise<ExecRun> {
  const monitor = await installation.monitor()
  const directory = join(installation.paths.execSessions(id), execId.slice(0, 16))
  const session = await monitor.exec({
    id,
    directory,
    process,
    stdin: streams?.stdin !== undefined,
    ...(streams === undefined ? {} : { attach: true }),
  })
  const identity = identityOf(session.pid)
  const ended = streams === undefined ? NEVER : followMonitored(session, { id, directory, streams, tty: process.terminal })
  ended.catch(() => undefined)
  return {
    execId,
    ended,
    kill: async signal => {
      const number = parseSignal(signal)
      if (identity === undefined || !isAlive(identity)) return
      try {
        globalThis.process.kill(identity.pid, number)
      } catch (error) {
        throw systemError(`send signal ${signal} to the command`, error)
      }
    },
  }
}

async function followMonitored(
  { attachment, monitorPid }: MonitoredExec,
  {
    id,
    directory,
    streams,
    tty,
  }: { readonly id: string; readonly directory: string; readonly streams: AttachedStreams; readonly tty: boolean },
): Promise<AttachmentEnd> {
  if (attachment !== undefined && (await relay(attachment, streams, tty)) === 'detached') return { kind: 'detached' }
  const { exitCode } = await waitExit(directory, id, { monitorPid })
  await rm(directory, { recursive: true, force: true })
  return { kind: 'exited', exitCode }
}

/** Sessions of a container that have a monitor and have not ended. */
export function runningSessions(installation: Installation, id: string): readonly string[] {
  const directory = installation.paths.execSessions(id)
  if (!existsSync(directory)) return []
  return readdirSync(directory).filter(name => !existsSync(join(directory, name, id)))
}
