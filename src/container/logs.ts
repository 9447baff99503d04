import { StrataError } from '../base/index.ts'
import { readLog } from '../runtime/index.ts'
import type { Installation } from './installation.ts'
import { logFile } from './logFile.ts'
import { type ContainerRecord, hasProcess } from './record.ts'
import type { LogEntry, LogOptions } from './requests.ts'
import { hasEnded } from './settle.ts'

/** What a container has written, and with `follow` what it writes until it ends. The iteration rejects with `unsupported` where nothing is kept. */
export async function* readLogs(
  installation: Installation,
  record: ContainerRecord,
  options: LogOptions & { readonly signal?: AbortSignal } = {},
): AsyncGenerator<LogEntry, void, undefined> {
  const log = logFile(installation, record)
  if (log === undefined) {
    throw new StrataError(
      'unsupported',
      'STRATA_NO_LOG',
      `Cannot read the log of container "${record.name}": it runs with log driver "none"`,
    )
  }
  const { follow, since, until, tail, signal } = options
  const isWanted = { stdout: options.stdout !== false, stderr: options.stderr !== false }
  const entries = readLog(log.path, {
    ...(follow === true ? { follow, isEnded: async () => isOver(installation, record.id) } : {}),
    ...(since === undefined ? {} : { since }),
    ...(until === undefined ? {} : { until }),
    ...(tail === undefined ? {} : { tail }),
    ...(signal === undefined ? {} : { signal }),
  })
  for await (const { at, stream, bytes } of entries) {
    if (isWanted[stream]) yield { stream, timestamp: at, bytes }
  }
}

/** Whether a container writes no more; one that is about to start again goes on. */
export function isOver(installation: Installation, id: string): boolean {
  const record = installation.records.get(id)
  if (record === undefined || record.state.status === 'restarting') return record === undefined
  return !hasProcess(record.state) || hasEnded(installation, record)
}
