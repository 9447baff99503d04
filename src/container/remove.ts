import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { isAlive, isStrataError, StrataError, systemError } from '../base/index.ts'
import type { Installation } from './installation.ts'
import type { HeldLock } from './locks.ts'
import { type ContainerRecord, hasProcess } from './record.ts'
import type { ContainerPruneOptions, ContainerRemoveOptions, PruneReport } from './requests.ts'
import { removeRunDirectory } from './rootfs.ts'
import { clearStart, keepExit, refreshLocked, removeFiles } from './settle.ts'
import { endProcess } from './stop.ts'
import { hasLabels } from './volumes.ts'

/** Rejects with `conflict` for a running container, unless forced: then it is killed. */
export async function removeContainer(
  installation: Installation,
  record: ContainerRecord,
  options: ContainerRemoveOptions = {},
): Promise<void> {
  for (;;) {
    using lock = await installation.locks.acquire(record.id)
    const present = await refreshLocked(installation, record.id, lock)
    if (present === undefined) return
    installation.requireLayerOf(present, 'remove')
    if (!hasProcess(present.state)) {
      // Who was attached to it may not have learnt yet how it ended.
      if (present.state.finishedAt !== undefined) keepExit(installation, present.id, present.state.exitCode)
      await removeLocked(installation, present, { lock, volumes: options.volumes === true })
      return
    }
    if (options.force !== true) throw isRunning(present)
    // Without the lock: whoever cleans up after the end needs it.
    lock[Symbol.dispose]()
    await endProcess(installation, present)
  }
}

function isRunning({ name, state }: ContainerRecord): StrataError {
  return new StrataError('conflict', 'STRATA_CONTAINER_RUNNING', `Cannot remove container "${name}": it is ${state.status}`, {
    hint: 'Stop it before, or force its removal.',
  })
}

/** Removes a container without a process. A step that fails leaves it `dead`, to be removed again. */
export async function removeLocked(
  installation: Installation,
  record: ContainerRecord,
  how: { readonly lock: HeldLock; readonly volumes: boolean },
): Promise<void> {
  const { id, definition } = record
  try {
    await clearStart(installation, record)
    removeRunDirectory(installation, id)
    await installation.snapshots.remove(id).catch((error: unknown) => {
      if (!isStrataError(error) || error.code !== 'STRATA_NO_SUCH_SNAPSHOT') throw error
    })
  } catch (error) {
    installation.records.update(id, state => ({ ...state, status: 'dead', error: error instanceof Error ? error.message : String(error) }))
    throw systemError(`remove container "${record.name}"`, error)
  }
  const anonymous = definition.mounts.flatMap(mount => (how.volumes && mount.type === 'volume' && mount.anonymous ? [mount.volume] : []))
  installation.records.delete(id, anonymous, volume => installation.volumes.moveAside(volume))
  how.lock.forget()
  await removeFiles(installation, id)
  if (anonymous.length > 0) await installation.volumes.emptyTrash()
}

/** Removes the containers that do not run. */
export async function pruneContainers(installation: Installation, options: ContainerPruneOptions = {}): Promise<PruneReport<string>> {
  const removed: string[] = []
  let reclaimedBytes = 0
  for (const record of installation.records.list()) {
    const { state, createdAt, definition } = record
    if (!['created', 'exited', 'dead'].includes(state.status) || !installation.hasLayerOf(record)) continue
    if (options.until !== undefined && createdAt >= options.until) continue
    const { Labels: labels } = definition.config
    if (!hasLabels(labels, options.labels ?? []) || (options.labelsAbsent ?? []).some(label => hasLabels(labels, [label]))) continue
    const bytes = (await installation.snapshots.usage(record.id).catch(() => undefined))?.bytes ?? 0
    try {
      await removeContainer(installation, record)
    } catch (error) {
      // Started meanwhile: it stays.
      if (isStrataError(error, 'conflict')) continue
      throw error
    }
    removed.push(record.id)
    reclaimedBytes += bytes
  }
  return { removed, reclaimedBytes }
}

/**
 * Takes away what crashes have left: containers whose creation was cut short, containers whose end
 * nobody saw, run directories and files of containers that are no more. Gives their number. Safe
 * while others work.
 */
export async function recover(installation: Installation): Promise<number> {
  let recovered = await removeAbandoned(installation)
  for (const record of installation.records.list()) {
    if (!installation.hasLayerOf(record) || record.state.status === 'creating') continue
    using lock = installation.locks.tryAcquire(record.id)
    if (lock === undefined) continue
    const present = await refreshLocked(installation, record.id, lock)
    if (present === undefined || hasProcess(present.state)) continue
    if (existsSync(installation.paths.bundle(record.id))) recovered += 1
    await clearStart(installation, present)
  }
  for (const id of await leftovers(installation)) {
    using lock = installation.locks.tryAcquire(id)
    if (lock === undefined || installation.records.get(id) !== undefined) continue
    await installation.networks.disconnect(id)
    await (await installation.runtime()).delete(id, { force: true })
    removeRunDirectory(installation, id)
    await removeFiles(installation, id)
    lock.forget()
    recovered += 1
  }
  return recovered
}

/**
 * Takes away the containers whose creation was cut short: nobody sees them, and they keep their image. Gives their
 * number. Safe while others work.
 */
export async function removeAbandoned(installation: Installation): Promise<number> {
  let removed = 0
  for (const record of installation.records.list()) {
    if (!installation.hasLayerOf(record) || !isAbandoned(record)) continue
    try {
      removed += Number(await removeUnfinished(installation, record))
    } catch (error) {
      // It is dead now, and listed: whoever came here wants something else.
      installation.logger.warn('a container that was not finished could not be removed', { id: record.id, error })
    }
  }
  return removed
}

function isAbandoned({ state: { owner, status } }: ContainerRecord): boolean {
  return status === 'creating' && (owner === undefined || !isAlive(owner))
}

async function removeUnfinished(installation: Installation, record: ContainerRecord): Promise<boolean> {
  using lock = installation.locks.tryAcquire(record.id)
  if (lock === undefined || installation.records.get(record.id)?.state.status !== 'creating') return false
  await removeLocked(installation, record, { lock, volumes: true })
  return true
}

/** Ids that have files and no record; a runtime that outlived its killed caller may even have made a container for one. */
async function leftovers(installation: Installation): Promise<readonly string[]> {
  const { paths } = installation
  const found = new Set<string>()
  for (const directory of [paths.bundles, paths.runtimeState, paths.directory('')]) {
    const names = await readdir(directory).catch(() => [])
    for (const name of names) if (/^[0-9a-f]{64}$/.test(name) && installation.records.get(name) === undefined) found.add(name)
  }
  return [...found]
}

/** Removes a half-made container that stands in the way of a new one's name; its maker has been killed. */
export async function removeIfUnfinished(installation: Installation, name: string): Promise<boolean> {
  const record = installation.records.list().find(each => each.name === name)
  return record !== undefined && isAbandoned(record) && removeUnfinished(installation, record)
}
