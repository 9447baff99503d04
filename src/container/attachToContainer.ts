import { StrataError } from '../base/index.ts'
import { attach } from '../runtime/index.ts'
import type { Installation } from './installation.ts'
import { followMonitored } from './monitoredRun.ts'
import type { ContainerRecord } from './record.ts'
import { notRunning } from './stop.ts'
import type { AttachedStreams, AttachmentEnd } from './streams.ts'

/** Connects to a running container; resolves with the way it ended. */
export async function attachToContainer(
  installation: Installation,
  record: ContainerRecord,
  { streams, signal }: { readonly streams: AttachedStreams; readonly signal: AbortSignal | undefined },
): Promise<AttachmentEnd> {
  const { status, run } = record.state
  if (status === 'paused') {
    throw new StrataError('conflict', 'STRATA_CONTAINER_PAUSED', `Cannot attach to container "${record.name}": it is paused`, {
      hint: 'Unpause it before.',
    })
  }
  if (status !== 'running' || run === undefined) throw notRunning(record, 'attach to')
  if (run.kind === 'foreground') {
    throw new StrataError(
      'unsupported',
      'STRATA_FOREGROUND_CONTAINER',
      `Cannot attach to container "${record.name}": it runs in the foreground of the command that started it, and has no monitor`,
      { hint: 'Read what it writes with `logs -f`, or run it with -d or -t.' },
    )
  }
  const attachment = attach(installation.paths.bundle(record.id))
  const onAbort = (): void => attachment.close()
  signal?.addEventListener('abort', onAbort, { once: true })
  try {
    return await followMonitored(installation, record, { attachment, streams })
  } finally {
    signal?.removeEventListener('abort', onAbort)
  }
}
