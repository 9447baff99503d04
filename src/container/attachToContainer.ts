import { StrataError } from '../base/index.ts'
import { attach } from '../runtime/index.ts'
import { attachToForeground } from './attachToForeground.ts'
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
  if (run.kind === 'foreground') return await attachToForeground(installation, record, { streams, signal })
  const attachment = attach(installation.paths.bundle(record.id))
  const onAbort = (): void => attachment.close()
  signal?.addEventListener('abort', onAbort, { once: true })
  try {
    return await followMonitored(installation, record, { attachment, streams })
  } finally {
    signal?.removeEventListener('abort', onAbort)
  }
}
