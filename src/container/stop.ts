import { setTimeout as sleep } from 'node:timers/promises'
import { currentProcess, isAlive, isStrataError, StrataError } from '../base/index.ts'
import { parseSignal } from '../runtime/index.ts'
import { conclude, concludeWithin } from './ending.ts'
import type { Installation } from './installation.ts'
import { type ContainerRecord, hasProcess } from './record.ts'
import type { StopOptions } from './requests.ts'
import { isStale, refreshLocked } from './settle.ts'

const KILL = 9
const DEFAULT_TIMEOUT_SECONDS = 10
/** What a process that is killed may take to go: the kernel may be busy with its memory or its disk. */
const KILL_TIMEOUT_MS = 30_000

/**
 * The stop signal, and SIGKILL when the time is over. A container without a process stays as it is; a restart that is due is called off.
 *
 * @param how.restarts the caller starts it again
 */
export async function stopContainer(
  installation: Installation,
  record: ContainerRecord,
  options: StopOptions = {},
  how: { readonly restarts?: boolean } = {},
): Promise<void> {
  const { config } = record.definition
  const signal = parseSignal(options.signal ?? config.StopSignal ?? 'TERM')
  const seconds = options.timeoutSeconds ?? config.StopTimeout ?? DEFAULT_TIMEOUT_SECONDS
  const running = await signalToStop(installation, record, { ...how, signal })
  if (running === undefined) return
  if (seconds < 0) {
    await conclude(installation, running)
    return
  }
  if (!(await concludeWithin(installation, running, seconds * 1000))) await endProcess(installation, record, how)
}

/** The container whose end is to be waited for, if any. With the lock: a start that is under way is completed before, so that it fails for no such reason. */
async function signalToStop(
  installation: Installation,
  record: ContainerRecord,
  { signal, restarts }: { readonly signal: number; readonly restarts?: boolean },
): Promise<ContainerRecord | undefined> {
  using _ = await installation.locks.acquire(record.id)
  const marked = installation.records.update(record.id, state => ({
    ...state,
    stoppedByUser: true,
    status: state.status === 'restarting' ? 'exited' : state.status,
    ...(restarts === true ? { restartedBy: currentProcess() } : {}),
  }))
  if (marked === undefined || !hasProcess(marked.state)) return undefined
  await deliver(installation, marked, signal)
  if (marked.state.status === 'paused') await resume(installation, marked)
  return marked
}

/** Kills what is left of a container, and waits until it is cleaned up after. No policy starts it again. */
export async function endProcess(
  installation: Installation,
  record: ContainerRecord,
  how: { readonly restarts?: boolean } = {},
): Promise<void> {
  const running = await signalToStop(installation, record, { ...how, signal: KILL })
  if (running === undefined || (await concludeWithin(installation, running, KILL_TIMEOUT_MS))) return
  throw new StrataError('unavailable', 'STRATA_WILL_NOT_DIE', `Cannot stop container "${record.name}": its process does not end`, {
    hint: 'It may wait for a disk or a network that does not answer.',
  })
}

/** Sends one signal. Rejects with `conflict` for a container that does not run. */
export async function killContainer(installation: Installation, record: ContainerRecord, signal: string = 'KILL'): Promise<void> {
  const number = parseSignal(signal)
  let killed: ContainerRecord
  const isEnd = number === KILL || number === parseSignal(record.definition.config.StopSignal ?? 'TERM')
  {
    using _ = await installation.locks.acquire(record.id)
    const present = installation.records.update(record.id, state =>
      isEnd && hasProcess(state) ? { ...state, stoppedByUser: true } : state,
    )
    if (present === undefined || !hasProcess(present.state) || isStale(installation, present)) throw notRunning(record, 'kill')
    if (!(await deliver(installation, present, number))) throw notRunning(record, 'kill')
    killed = present
  }
  if (number === KILL) await concludeWithin(installation, killed, KILL_TIMEOUT_MS)
}

/** A foreground run is known before the runtime has made its container. */
const MAKING_TIMEOUT_MS = 2000
const MAKING_POLL_MS = 5

/** Whether there was a process to signal. */
async function deliver(installation: Installation, { id, state }: ContainerRecord, signal: number): Promise<boolean> {
  const runtime = await installation.runtime()
  for (let waited = 0; ; waited += MAKING_POLL_MS) {
    try {
      await runtime.kill(id, signal)
      return true
    } catch (error) {
      const isGone = isStrataError(error, 'conflict') || isStrataError(error, 'notFound')
      // A process that ends in this moment gives a runtime many things to complain of.
      if (!isGone && (await runtime.state(id))?.status === 'running') throw error
      const { run } = state
      const isBeingMade = run?.kind === 'foreground' && isAlive(run.monitor) && isStrataError(error, 'notFound')
      if (!isBeingMade || waited >= MAKING_TIMEOUT_MS) return false
      await sleep(MAKING_POLL_MS)
    }
  }
}

export async function pauseContainer(installation: Installation, record: ContainerRecord): Promise<void> {
  using lock = await installation.locks.acquire(record.id)
  const present = await refreshLocked(installation, record.id, lock)
  if (present === undefined || !hasProcess(present.state)) throw notRunning(record, 'pause')
  if (present.state.status === 'paused') {
    throw new StrataError('conflict', 'STRATA_CONTAINER_PAUSED', `Cannot pause container "${record.name}": it is paused already`)
  }
  await (await installation.runtime()).pause(record.id)
  installation.records.update(record.id, state => ({ ...state, status: 'paused' }))
}

export async function unpauseContainer(installation: Installation, record: ContainerRecord): Promise<void> {
  using lock = await installation.locks.acquire(record.id)
  const present = await refreshLocked(installation, record.id, lock)
  if (present?.state.status !== 'paused') {
    throw new StrataError('conflict', 'STRATA_CONTAINER_NOT_PAUSED', `Cannot unpause container "${record.name}": it is not paused`)
  }
  await resume(installation, present)
}

async function resume(installation: Installation, { id }: ContainerRecord): Promise<void> {
  await (await installation.runtime()).resume(id)
  installation.records.update(id, state => (state.status === 'paused' ? { ...state, status: 'running' } : state))
}

export function notRunning({ name }: ContainerRecord, verb: string): StrataError {
  return new StrataError('conflict', 'STRATA_CONTAINER_NOT_RUNNING', `Cannot ${verb} container "${name}": it does not run`)
}
