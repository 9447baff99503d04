import { isStrataError, StrataError } from '../base/index.ts'
import { attach, type ConsoleSize } from '../runtime/index.ts'
import { noSuchContainer } from './containerRecords.ts'
import { foregroundStreams, launchForeground } from './foregroundRun.ts'
import type { Installation } from './installation.ts'
import { followMonitored, launchMonitored } from './monitoredRun.ts'
import { prepareRun } from './prepareRun.ts'
import { type ContainerRecord, type ContainerState, hasProcess, without } from './record.ts'
import { clearStart, refreshLocked } from './settle.ts'
import type { AttachedStreams, AttachmentEnd, TerminalSize } from './streams.ts'

export interface StartedContainer {
  readonly warnings: readonly string[]
  /** Never settles without streams. */
  readonly ended: Promise<AttachmentEnd>
}

export interface StartOptions {
  readonly streams?: AttachedStreams | undefined
  readonly signal?: AbortSignal | undefined
  /** Starts only what is like this: a restart that somebody else has made or called off is not made. */
  readonly onlyIf?: (state: ContainerState) => boolean
}

const NEVER = new Promise<never>(() => undefined)

/** Starts a container that does not run. One that runs is left alone, and attached to where there are streams. */
export async function startContainer(installation: Installation, id: string, options: StartOptions = {}): Promise<StartedContainer> {
  using lock = await installation.locks.acquire(id, options.signal)
  const record = await refreshLocked(installation, id, lock)
  if (record === undefined) throw noSuchContainer(id)
  if (options.onlyIf?.(record.state) === false) return { warnings: [], ended: NEVER }
  if (record.state.status === 'paused') {
    throw new StrataError(
      'conflict',
      'STRATA_CONTAINER_PAUSED',
      `Cannot start container "${record.name}": it is paused; unpause it instead`,
    )
  }
  installation.requireLayerOf(record, 'start')
  if (!hasProcess(record.state)) return await launch(installation, record, options)
  if (options.streams === undefined) return { warnings: [], ended: NEVER }
  const attachment = attach(installation.paths.bundle(id))
  return { warnings: [], ended: followMonitored(installation, record, { attachment, streams: options.streams }) }
}

/** The lock is held. */
async function launch(
  installation: Installation,
  record: ContainerRecord,
  { streams: given, signal }: StartOptions,
): Promise<StartedContainer> {
  await clearStart(installation, record)
  try {
    const { streams, size } = await withFirstSize(record, given)
    signal?.throwIfAborted()
    const inForeground = foregroundStreams(record, streams)
    // Only one that nobody else has seen yet was never mounted before, and will not be again.
    const disposable =
      inForeground !== undefined && record.state.status === 'creating' && record.definition.mounts.every(({ type }) => type !== 'volume')
    const warnings = await prepareRun(installation, record, { consoleSize: size, disposable })
    signal?.throwIfAborted()
    const { ended } =
      inForeground === undefined
        ? await launchMonitored(installation, record, streams)
        : await launchForeground(installation, record, inForeground)
    // Who does not look at it is not disturbed by its failure.
    ended?.catch(() => undefined)
    return { warnings, ended: ended ?? NEVER }
  } catch (error) {
    const failure = signal?.aborted === true ? cancelled(record, signal.reason) : error
    await clearStart(installation, record)
    installation.records.update(record.id, state => failedState(state, failure))
    throw failure
  }
}

/** The process finds its terminal in the right size if that is known before it starts. */
async function withFirstSize(
  { definition }: ContainerRecord,
  streams: AttachedStreams | undefined,
): Promise<{ readonly streams: AttachedStreams | undefined; readonly size: ConsoleSize | undefined }> {
  if (streams?.resizes === undefined || !definition.config.Tty) return { streams, size: undefined }
  const sizes = streams.resizes[Symbol.asyncIterator]()
  const first = await sizes.next()
  const rest: AsyncIterable<TerminalSize> = { [Symbol.asyncIterator]: () => sizes }
  const size = first.done === true ? undefined : { width: first.value.columns, height: first.value.rows }
  return { streams: { ...streams, resizes: rest }, size }
}

/** docker's exit codes for what was never started. */
function failedState(state: ContainerState, error: unknown): ContainerState {
  const code = error instanceof StrataError ? error.code : ''
  const exitCode = code === 'STRATA_COMMAND_NOT_FOUND' ? 127 : code === 'STRATA_COMMAND_NOT_EXECUTABLE' ? 126 : 128
  const failed = { ...without(state, 'run', 'restartAt'), exitCode, error: error instanceof Error ? error.message : String(error) }
  // Whoever is creating it says what becomes of it.
  if (state.status === 'creating') return failed
  return { ...without(failed, 'owner'), status: state.status === 'created' ? 'created' : 'exited' }
}

/** @param reason the signal's: its code tells which one of the system's it was */
function cancelled({ name }: ContainerRecord, reason: unknown): StrataError {
  const code = isStrataError(reason, 'cancelled') ? reason.code : 'STRATA_CANCELLED'
  return new StrataError('cancelled', code, `Cannot start container "${name}": it was interrupted`, { cause: reason })
}
