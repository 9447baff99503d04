import { watch } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { errnoOf, StrataError, systemError } from '../base/index.ts'

export interface ContainerExit {
  /** 128 and the signal's number after a signal. */
  readonly exitCode: number
  readonly exitedAt: Date
  /** The container, at any time, ran out of the memory that it may use. */
  readonly oomKilled: boolean
}

/** How a monitored container or exec session ended; undefined while it runs. `id` is the container's. */
export async function readExit(directory: string, id: string): Promise<ContainerExit | undefined> {
  const path = join(directory, id)
  try {
    const [text, { mtime }] = await Promise.all([readFile(path, 'utf8'), stat(path)])
    // conmon publishes the file by renaming, so it is whole.
    const exitCode = Number.parseInt(text, 10)
    return Number.isNaN(exitCode) ? undefined : { exitCode, exitedAt: mtime, oomKilled: await exists(join(directory, 'oom')) }
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw systemError(`read how container "${id}" ended`, error)
  }
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  )
}

/** How often the monitor is looked for: it can be killed, and then no exit code is ever written. */
const MONITOR_CHECK_MS = 1000

/**
 * Waits for the end of a monitored container or exec session, without a thread or a busy loop.
 *
 * Rejects with `dataLoss` (STRATA_MONITOR_LOST) when the monitor has gone and left no exit code, and
 * with `cancelled` on `signal`.
 */
export async function waitExit(
  directory: string,
  id: string,
  options: { readonly monitorPid?: number; readonly signal?: AbortSignal } = {},
): Promise<ContainerExit> {
  const { promise: cancelled, reject: cancel } = Promise.withResolvers<never>()
  cancelled.catch(() => undefined)
  const onAbort = (): void =>
    cancel(new StrataError('cancelled', 'STRATA_CANCELLED', `Cannot wait for container "${id}": the wait was cancelled`))
  if (options.signal?.aborted === true) onAbort()
  options.signal?.addEventListener('abort', onAbort, { once: true })
  let wake = Promise.withResolvers<void>()
  const watcher = watch(directory, (_, name) => {
    if (name === id) wake.resolve()
  })
  watcher.once('error', error => cancel(systemError(`wait for container "${id}"`, error)))
  const timer = setInterval(() => wake.resolve(), MONITOR_CHECK_MS)
  try {
    for (;;) {
      const lost = options.monitorPid !== undefined && !isAlive(options.monitorPid)
      const exit = await Promise.race([readExit(directory, id), cancelled])
      if (exit !== undefined) return exit
      if (lost) throw new StrataError('dataLoss', 'STRATA_MONITOR_LOST', `Cannot tell how container "${id}" ended: its monitor was killed`)
      await Promise.race([wake.promise, cancelled])
      wake = Promise.withResolvers()
    }
  } finally {
    clearInterval(timer)
    watcher.close()
    options.signal?.removeEventListener('abort', onAbort)
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return errnoOf(error) === 'EPERM'
  }
}
