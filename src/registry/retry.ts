import { isStrataError, pause } from '../base/index.ts'
import type { HttpRequest, HttpResponse, Wrap } from './send.ts'

const ATTEMPTS = 5
const FIRST_DELAY_MS = 200
const LONGEST_DELAY_MS = 30_000
/** A longer wait is told of. */
const SILENT_DELAY_MS = 2000

/** Statuses that say "later", not "no". RFC 9110 and RFC 6585. */
export const LATER: ReadonlySet<number> = new Set([408, 429, 500, 502, 503, 504])

/**
 * Repeats what may succeed later: requests without an answer, and answers that say so. The delay
 * doubles, is spread by chance, and is the registry's own `Retry-After` where it gives one. A registry that wants to be
 * left alone for more than half a minute is not waited for.
 */
export const withRetry: Wrap = next => async request => {
  for (let attempt = 1; ; attempt += 1) {
    const last = attempt === ATTEMPTS || !isRepeatable(request)
    try {
      const response = await next(request)
      const asked = retryAfterMs(response)
      if (last || !LATER.has(response.status) || isTooLong(asked)) return response
      await response.body.discard()
      await wait(request, asked ?? delayMs(attempt))
    } catch (error) {
      if (last || !isUnreachable(error)) throw error
      await wait(request, delayMs(attempt))
    }
  }
}

/** No answer came. What an answer made impossible, such as a redirect that is refused, stays so. */
export function isUnreachable(error: unknown): boolean {
  return isStrataError(error, 'unavailable') && error.code === 'STRATA_REGISTRY_UNREACHABLE'
}

/** A stream has been used up by the first attempt; a POST may have had its effect. */
function isRepeatable({ method, body }: HttpRequest): boolean {
  return method !== 'POST' && method !== 'PATCH' && (body === undefined || body instanceof Uint8Array)
}

async function wait({ url, signal, onProgress }: HttpRequest, ms: number): Promise<void> {
  if (ms > SILENT_DELAY_MS) onProgress?.({ id: '', status: `Waiting ${Math.ceil(ms / 1000)} s for registry "${url.host}"` })
  await pause(ms, signal)
}

/** Whether a wait that a registry asks for is longer than anybody waits here. */
export function isTooLong(askedMs: number | undefined): boolean {
  return askedMs !== undefined && askedMs > LONGEST_DELAY_MS
}

/** How long to wait after an attempt (1, 2, …) that failed. */
export function delayMs(attempt: number): number {
  return FIRST_DELAY_MS * 2 ** (attempt - 1) * (0.5 + Math.random())
}

/** `Retry-After` in milliseconds: seconds or a date. RFC 9110 section 10.2.3 */
export function retryAfterMs({ headers }: HttpResponse): number | undefined {
  const value = headers['retry-after']
  if (value === undefined) return undefined
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now()
  return Number.isNaN(ms) ? undefined : Math.max(ms, 0)
}
