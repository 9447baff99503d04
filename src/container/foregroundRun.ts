import { mkdirSync } from 'node:fs'
import { currentProcess, identityOf } from '../base/index.ts'
import type { ForegroundProcess } from '../runtime/index.ts'
import { ForegroundLog } from './foregroundLog.ts'
import type { Installation } from './installation.ts'
import { logFile } from './logFile.ts'
import { type ContainerRecord, NO_PROCESS, runningState } from './record.ts'
import { ProcessPipes, spawnWith } from './processPipes.ts'
import { feed, forwardOutput, writeTo } from './relay.ts'
import { settle } from './settle.ts'
import type { AttachedStreams, AttachmentEnd } from './streams.ts'

/**
 * Without a monitor a container starts in half the time. Who attaches to it later follows its log, and
 * when its caller is killed nobody learns its exit code: so only for one that removes itself, has no
 * terminal, keeps a log, and whose caller stays.
 *
 * @returns the streams, or undefined for a container that needs a monitor
 */
export function foregroundStreams({ definition }: ContainerRecord, streams: AttachedStreams | undefined): AttachedStreams | undefined {
  const { autoRemove, log } = definition.options
  return autoRemove === true && !definition.config.Tty && log?.driver !== 'none' ? streams : undefined
}

/** Runs a prepared container as a child of this process. The lock is held. */
export async function launchForeground(
  installation: Installation,
  record: ContainerRecord,
  streams: AttachedStreams,
): Promise<{ readonly ended: Promise<AttachmentEnd> }> {
  const { id, definition } = record
  const runtime = await installation.runtime()
  const withInput = definition.config.OpenStdin && streams.stdin !== undefined
  const bundle = installation.paths.bundle(id)
  const pipes = new ProcessPipes(withInput)
  const child = await spawnWith(pipes, () => runtime.run({ id, bundle, stdio: pipes.stdio }))
  const monitor = (child.pid === undefined ? undefined : identityOf(child.pid)) ?? NO_PROCESS
  installation.records.update(id, state => runningState(state, { kind: 'foreground', monitor, keeper: currentProcess() }))
  return { ended: follow(installation, record, { child, pipes, streams }) }
}

async function follow(
  installation: Installation,
  record: ContainerRecord,
  { child, pipes, streams }: { readonly child: ForegroundProcess; readonly pipes: ProcessPipes; readonly streams: AttachedStreams },
): Promise<AttachmentEnd> {
  const log = openLog(installation, record)
  if (pipes.stdin !== undefined && streams.stdin !== undefined) {
    // Input may go on when the process has ended: nobody waits for it.
    feed(streams.stdin, pipes.stdin).catch((error: unknown) => installation.logger.warn('the input of a container broke off', { error }))
  }
  const passOn = async (stream: 'stdout' | 'stderr', bytes: Uint8Array): Promise<void> => {
    log?.write(stream, bytes)
    await writeTo(streams[stream], bytes)
  }
  const output = forwardOutput(pipes, child.ended, { stdout: bytes => passOn('stdout', bytes), stderr: bytes => passOn('stderr', bytes) })
  let exitCode = 0
  let failure: { readonly error: unknown } | undefined
  try {
    exitCode = await child.ended
    await output
  } catch (error) {
    failure = { error }
  }
  using lock = await installation.locks.acquire(record.id)
  const present = installation.records.get(record.id)
  if (present !== undefined) await settle(installation, present, { lock, exit: { exitCode, exitedAt: new Date(), oomKilled: false } })
  if (failure !== undefined) throw failure.error
  return { kind: 'exited', exitCode }
}

function openLog(installation: Installation, record: ContainerRecord): ForegroundLog | undefined {
  const log = logFile(installation, record)
  if (log === undefined) return undefined
  mkdirSync(installation.paths.directory(record.id), { recursive: true, mode: 0o710 })
  return new ForegroundLog(log.path, log.maxBytes)
}
