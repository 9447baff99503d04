import { setTimeout as sleep } from 'node:timers/promises'

/** Waits. Rejects with the signal's reason as soon as it is aborted; Node's own timers have an AbortError in its place. */
export async function pause(ms: number, signal?: AbortSignal): Promise<void> {
  try {
    await sleep(ms, undefined, signal === undefined ? {} : { signal })
  } catch (error) {
    signal?.throwIfAborted()
    throw error
  }
}
