import { currentProcess, identityOf } from '../base/index.ts'
import { attach, type Attachment } from '../runtime/index.ts'
import { conclude } from './ending.ts'
import type { Installation } from './installation.ts'
import { logFile } from './logFile.ts'
import { type ContainerRecord, NO_PROCESS, runningState } from './record.ts'
import { relay } from './relay.ts'
import { StartMark } from './startMark.ts'
import type { AttachedStreams, AttachmentEnd } from './streams.ts'

/**
 * Lets the process of a prepared container run under conmon, which outlives us. Streams are attached
 * before it starts. The lock is held.
 */
export async function launchMonitored(
  installation: Installation,
  record: ContainerRecord,
  streams: AttachedStreams | undefined,
): Promise<{ readonly ended: Promise<AttachmentEnd> | undefined }> {
  const { id, definition } = record
  const { config } = definition
  const directory = installation.paths.bundle(id)
  const [runtime, monitor] = await Promise.all([installation.runtime(), installation.monitor()])
  const log = logFile(installation, record)
  const { pid, monitorPid } = await monitor.create({
    id,
    directory,
    ...(log === undefined ? {} : { log }),
    terminal: config.Tty,
    stdin: config.OpenStdin,
    // Who leaves a terminal may come back to it.
    leaveStdinOpen: config.OpenStdin && (config.Tty || !config.StdinOnce),
    exitCommand: installation.exitCommand(id),
  })
  const attachment = streams === undefined ? undefined : attach(directory)
  let running = record
  try {
    const mark = new StartMark(directory)
    mark.set(currentProcess())
    // Before the process runs: from then on its end is dealt with, whoever is killed meanwhile.
    const monitor = identityOf(monitorPid) ?? NO_PROCESS
    running = installation.records.update(id, state => runningState(state, { kind: 'monitored', monitor, pid })) ?? record
    await runtime.start(id)
    mark.clear()
  } catch (error) {
    attachment?.close()
    throw error
  }
  if (attachment === undefined || streams === undefined) return { ended: undefined }
  return { ended: followMonitored(installation, running, { attachment, streams }) }
}

/**
 * Relays until the process has ended, and sees to what is due then.
 *
 * @param record of the container while that process runs
 */
export async function followMonitored(
  installation: Installation,
  record: ContainerRecord,
  { attachment, streams }: { readonly attachment: Attachment; readonly streams: AttachedStreams },
): Promise<AttachmentEnd> {
  const end = await relay(attachment, streams, record.definition.config.Tty)
  return end === 'detached' ? { kind: 'detached' } : { kind: 'exited', exitCode: await conclude(installation, record) }
}
