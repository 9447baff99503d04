import type { RestartOptions } from './options.ts'
import type { ContainerState } from './record.ts'

/** docs.docker.com, "Restart policies": the wait doubles with each restart up to a minute, and begins anew after ten seconds of work. */
const FIRST_DELAY_MS = 100
const LONGEST_DELAY_MS = 60_000
const SETTLED_AFTER_MS = 10_000

/**
 * How long the next start waits, in milliseconds; undefined when the container stays as it is.
 *
 * @param state as it was while the container ran
 */
export function nextRestart(
  policy: RestartOptions | undefined,
  state: ContainerState,
  ended: { readonly exitCode: number; readonly ranMs: number },
): number | undefined {
  if (policy === undefined || policy.policy === 'no' || state.stoppedByUser) return undefined
  if (policy.policy === 'on-failure') {
    const limit = policy.maximumRetries ?? 0
    if (ended.exitCode === 0 || (limit > 0 && state.restartCount >= limit)) return undefined
  }
  if (state.restartDelayMs === undefined || ended.ranMs >= SETTLED_AFTER_MS) return FIRST_DELAY_MS
  return Math.min(state.restartDelayMs * 2, LONGEST_DELAY_MS)
}
