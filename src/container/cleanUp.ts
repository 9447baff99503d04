import { setTimeout as sleep } from 'node:timers/promises'
import { currentProcess, isAlive, isStrataError } from '../base/index.ts'
import type { Installation } from './installation.ts'
import { hasProcess } from './record.ts'
import { clearStart, refreshLocked, removeIfDue } from './settle.ts'
import { startContainer } from './start.ts'

/**
 * What conmon's exit command does: sees to what is due after a container's end, whatever others have done of it, and starts
 * the container again when its policy says so and the wait is over. Knows nothing of a container that
 * is no more.
 */
export async function cleanUpContainer(installation: Installation, id: string): Promise<void> {
  if (await settleEnd(installation, id)) await restartWhenDue(installation, id)
}

/** Whether a restart is due that nobody else makes. */
async function settleEnd(installation: Installation, id: string): Promise<boolean> {
  using lock = await installation.locks.acquire(id)
  const record = await refreshLocked(installation, id, lock)
  if (record === undefined) {
    lock.forget()
    return false
  }
  if (hasProcess(record.state)) return false
  await clearStart(installation, record)
  if (record.state.status === 'exited' && (await removeIfDue(installation, record, lock))) return false
  const { status, owner } = record.state
  if (status !== 'restarting' || (owner !== undefined && isAlive(owner))) return false
  installation.records.update(id, state => ({ ...state, owner: currentProcess() }))
  return true
}

async function restartWhenDue(installation: Installation, id: string): Promise<void> {
  const restartAt = installation.records.get(id)?.state.restartAt
  if (restartAt === undefined) return
  await sleep(Math.max(0, Date.parse(restartAt) - Date.now()))
  try {
    await startContainer(installation, id, { onlyIf: state => state.status === 'restarting' && state.owner?.pid === process.pid })
  } catch (error) {
    // Removed meanwhile.
    if (!isStrataError(error, 'notFound')) throw error
  }
}
