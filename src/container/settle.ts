import { existsSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { errnoOf, isAlive, isStrataError } from '../base/index.ts'
import { parseNetworkMode } from '../network/index.ts'
import type { ContainerExit } from '../runtime/index.ts'
import type { Installation } from './installation.ts'
import type { HeldLock } from './locks.ts'
import { StartMark } from './startMark.ts'
import { type ContainerRecord, type ContainerState, hasProcess, without } from './record.ts'
import { nextRestart } from './restartPolicy.ts'
import { removeRunDirectory } from './rootfs.ts'

/** What docker says of a container whose end nobody saw: a reboot, a killed monitor. */
export const LOST_EXIT_CODE = 255

/** A restart that is this late is not coming: the process that would make it has gone. */
const RESTART_GRACE_MS = 10_000

/** How long the exit code of a container that is no more is kept for those who wait for it. */
const EXIT_KEPT_MS = 5 * 60_000

/** Whether the process of a container has ended, though its record says that it runs. Cheap: two small files. */
export function hasEnded(installation: Installation, { id, state }: ContainerRecord): boolean {
  if (!hasProcess(state) || state.run === undefined) return false
  // conmon turns into its own exit command: it lives on when the container does not.
  const bundle = installation.paths.bundle(id)
  if (existsSync(join(bundle, id))) return true
  if (isAlive(state.run.monitor)) return new StartMark(bundle).isAbandoned()
  return state.run.keeper === undefined || !isAlive(state.run.keeper)
}

/** Whether a record says something that is no longer true. */
export function isStale(installation: Installation, record: ContainerRecord): boolean {
  const { state } = record
  if (hasEnded(installation, record)) return true
  if (state.pausedBy !== undefined && !isAlive(state.pausedBy)) return true
  return isRestartLost(state)
}

function isRestartLost({ status, owner, restartAt }: ContainerState): boolean {
  if (status !== 'restarting' || (owner !== undefined && isAlive(owner))) return false
  return Date.parse(restartAt ?? '') + RESTART_GRACE_MS < Date.now()
}

/**
 * The container as it is now. What the record did not know yet is made up for: a process that has
 * ended is cleaned up after, unless somebody else is about to.
 */
export async function refresh(installation: Installation, record: ContainerRecord): Promise<ContainerRecord | undefined> {
  if (!isStale(installation, record)) return record
  using lock = installation.locks.tryAcquire(record.id)
  if (lock === undefined) return installation.records.get(record.id)
  return await refreshLocked(installation, record.id, lock)
}

/** The same for who holds the lock of the container already. */
export async function refreshLocked(installation: Installation, id: string, lock: HeldLock): Promise<ContainerRecord | undefined> {
  const record = installation.records.get(id)
  if (record === undefined || !isStale(installation, record)) return record
  if (hasEnded(installation, record) && !(await wasStarted(installation, id))) return await settle(installation, record, { lock })
  const { state } = record
  if (state.pausedBy !== undefined && !isAlive(state.pausedBy)) {
    await (await installation.runtime()).resume(id).catch((error: unknown) => {
      if (!isStrataError(error, 'conflict')) throw error
    })
  }
  return installation.records.update(id, present =>
    isRestartLost(state) ? { ...without(present, 'owner', 'restartAt', 'pausedBy'), status: 'exited' } : without(present, 'pausedBy'),
  )
}

/** Whoever was to start it has been killed just after that: nothing is wrong with the container but the mark that says so. */
async function wasStarted(installation: Installation, id: string): Promise<boolean> {
  const mark = new StartMark(installation.paths.bundle(id))
  if (!mark.isAbandoned() || (await (await installation.runtime()).state(id))?.status !== 'running') return false
  mark.clear()
  return true
}

/**
 * What is due after the end of a container's process: mounts, network and the runtime's state go, how
 * it ended is recorded, and a container that was to remove itself is removed. Each step may have
 * been made before, by a process that was killed.
 *
 * @param how.exit when the caller knows it; otherwise what the monitor wrote
 * Returns undefined when the container is no more.
 */
export async function settle(
  installation: Installation,
  record: ContainerRecord,
  how: { readonly lock: HeldLock; readonly exit?: ContainerExit },
): Promise<ContainerRecord | undefined> {
  const { id } = record
  const exit = how.exit ?? (await recordedExit(installation, id))
  // A foreground run that was seen to its end has been deleted by the runtime itself.
  if (how.exit === undefined) await releaseRuntime(installation, id)
  await releaseResources(installation, record)
  const settled = installation.records.update(id, state => endedState(record, state, exit))
  if (settled !== undefined && (await removeIfDue(installation, settled, how.lock))) return undefined
  // The exit code is in there: it goes when it is known elsewhere.
  removeRunDirectory(installation, id)
  await installation.snapshots.release(id)
  return settled
}

/**
 * Removes a container that was to remove itself and has ended; says whether. Where another driver has
 * its layer, that is for its monitor's exit command, which is with that one.
 */
export async function removeIfDue(installation: Installation, record: ContainerRecord, lock: HeldLock): Promise<boolean> {
  const { id, definition, state } = record
  if (definition.options.autoRemove !== true || !installation.hasLayerOf(record) || isToStartAgain(state)) return false
  keepExit(installation, id, state.exitCode)
  const { removeLocked } = await import('./remove.ts')
  await removeLocked(installation, record, { lock, volumes: true })
  return true
}

function isToStartAgain({ status, restartedBy }: ContainerState): boolean {
  return status === 'restarting' || (restartedBy !== undefined && isAlive(restartedBy))
}

/** Takes away what a start that did not succeed, or was killed, has left. */
export async function clearStart(installation: Installation, record: ContainerRecord): Promise<void> {
  if (existsSync(installation.paths.bundle(record.id))) {
    await releaseRuntime(installation, record.id)
    await releaseResources(installation, record)
    removeRunDirectory(installation, record.id)
  }
  // Last, for its mounts stood on it: whoever was killed may have come as far as this.
  await installation.snapshots.release(record.id)
}

async function releaseRuntime(installation: Installation, id: string): Promise<void> {
  if (!existsSync(join(installation.paths.runtimeState, id))) return
  await (await installation.runtime()).delete(id, { force: true })
}

async function releaseResources(installation: Installation, { id, definition }: ContainerRecord): Promise<void> {
  const { kind } = parseNetworkMode(definition.options.network ?? '')
  if (kind === 'bridge' || kind === 'network') await installation.networks.disconnect(id)
  for (const mount of definition.mounts) {
    if (mount.type !== 'volume') continue
    await installation.volumes.unmount(mount.volume, () =>
      installation.records.usersOf(mount.volume).some(user => {
        const other = user === id ? undefined : installation.records.get(user)
        return other !== undefined && hasProcess(other.state)
      }),
    )
  }
}

function endedState(record: ContainerRecord, state: ContainerState, exit: ContainerExit): ContainerState {
  const rest = without(state, 'run', 'owner', 'pausedBy', 'restartAt')
  const finishedAt = exit.exitedAt.toISOString()
  const ended: ContainerState = { ...rest, status: 'exited', exitCode: exit.exitCode, oomKilled: exit.oomKilled, finishedAt, error: '' }
  const ranMs = exit.exitedAt.getTime() - Date.parse(state.startedAt ?? finishedAt)
  const delay = nextRestart(record.definition.options.restart, state, { exitCode: exit.exitCode, ranMs })
  if (delay === undefined) return ended
  return { ...ended, status: 'restarting', restartDelayMs: delay, restartAt: new Date(Date.now() + delay).toISOString() }
}

async function recordedExit(installation: Installation, id: string): Promise<ContainerExit> {
  const { readExit } = await import('../runtime/index.ts')
  const exit = await readExit(installation.paths.bundle(id), id)
  return exit ?? { exitCode: LOST_EXIT_CODE, exitedAt: new Date(), oomKilled: false }
}

/** Leaves the exit code of a container that is about to be no more to those who wait for it. */
export function keepExit(installation: Installation, id: string, exitCode: number): void {
  const { exits } = installation.paths
  mkdirSync(exits, { recursive: true, mode: 0o700 })
  for (const name of readdirSync(exits)) {
    const path = join(exits, name)
    const age = Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0)
    if (age > EXIT_KEPT_MS) rmSync(path, { force: true })
  }
  writeFileSync(join(exits, id), String(exitCode), { mode: 0o600 })
}

/** The exit code of a container that has been removed in the last minutes. */
export async function keptExit(installation: Installation, id: string): Promise<number | undefined> {
  const { readFile } = await import('node:fs/promises')
  try {
    return Number.parseInt(await readFile(join(installation.paths.exits, id), 'utf8'), 10)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw error
  }
}

/** The files of a container below the root. */
export async function removeFiles(installation: Installation, id: string): Promise<void> {
  await rm(installation.paths.directory(id), { recursive: true, force: true })
}
