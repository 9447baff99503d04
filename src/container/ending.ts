import { setTimeout as sleep } from 'node:timers/promises'
import { isAlive, isStrataError, StrataError } from '../base/index.ts'
import { waitExit } from '../runtime/index.ts'
import { noSuchContainer } from './containerRecords.ts'
import type { Installation } from './installation.ts'
import { type ContainerRecord, hasProcess } from './record.ts'
import { hasEnded, keptExit, LOST_EXIT_CODE, refreshLocked } from './settle.ts'

/** A foreground run leaves no exit file to watch. */
const POLL_MS = 50

/**
 * Waits for the end of a container's process, sees to what is due then (unless somebody else does),
 * and resolves with the exit code; at once for a container without a process. Rejects with
 * `cancelled` on `signal`.
 *
 * @param container as it was when its process ran: when another has been started meanwhile, that one is not waited for
 */
export async function conclude(
  installation: Installation,
  { id, state: { startedAt } }: Pick<ContainerRecord, 'id' | 'state'>,
  signal?: AbortSignal,
): Promise<number> {
  for (;;) {
    const record = installation.records.get(id)
    if (record === undefined) {
      const exitCode = await keptExit(installation, id)
      if (exitCode === undefined) throw noSuchContainer(id)
      return exitCode
    }
    if (!hasProcess(record.state)) return record.state.exitCode
    if (record.state.startedAt !== startedAt) return record.state.exitCodeBefore ?? LOST_EXIT_CODE
    if (!hasEnded(installation, record)) {
      await untilEnded(installation, record, signal)
      continue
    }
    // The exit code is read before: afterwards the container may be restarted, or gone.
    using lock = await installation.locks.acquire(id, signal)
    const settled = await refreshLocked(installation, id, lock)
    if (settled !== undefined && !hasProcess(settled.state)) return settled.state.exitCode
  }
}

async function untilEnded(installation: Installation, { id, state }: ContainerRecord, signal: AbortSignal | undefined): Promise<void> {
  const { run } = state
  if (run === undefined || run.kind === 'foreground') {
    try {
      await sleep(POLL_MS, undefined, signal === undefined ? {} : { signal })
    } catch (error) {
      throw new StrataError('cancelled', 'STRATA_CANCELLED', `Cannot wait for container "${id}": the wait was cancelled`, { cause: error })
    }
    return
  }
  try {
    await waitExit(installation.paths.bundle(id), id, { monitorPid: run.monitor.pid, ...(signal === undefined ? {} : { signal }) })
  } catch (error) {
    if (isStrataError(error, 'cancelled')) throw error
    // The run directory has gone, or the monitor has: the record knows more by now, or soon.
    if (isAlive(run.monitor)) await sleep(POLL_MS)
  }
}

/** The same with a bound: whether the process has ended within `ms`. */
export async function concludeWithin(installation: Installation, container: ContainerRecord, ms: number): Promise<boolean> {
  const timeout = AbortSignal.timeout(ms)
  try {
    await conclude(installation, container, timeout)
    return true
  } catch (error) {
    if (timeout.aborted && isStrataError(error, 'cancelled')) return false
    if (isStrataError(error, 'notFound')) return true
    throw error
  }
}
