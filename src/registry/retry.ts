import { isStrataError, pause } from '../base/index.ts'
import type { HttpRequest, HttpResponse, Wrap } from './send.ts'

const ATTEMPTS = 5
const FIRST_DELAY_MS = 200
const LONGEST_DELAY_MS = 30_000

/** Statuses that say "later", not "no". RFC 9110 and RFC 6585. */
export const LATER: ReadonlySet<number> = new Set([408, 429, 500, 502, 503, 504])

/**
 * Repeats what may succeed later: requests without an answer, and answers that say so. The delay
 * doubles, is spread by chance, and is the registry's own `Retry-After` where it gives one.
 */
export const withRetry: Wrap = next => async request => {
  for (let attempt = 1; ; attempt += 1) {
    const last = attempt === ATTEMPTS || !isRepeatable(request)
    try {
      const response = await next(request)
      if (last || !LATER.has(response.status)) return response
      await response.body.discard()
      await pause(retryAfterMs(response) ?? delayMs(attempt), request.signal)
    } catch (error) {
      if (last || !isUnreachable(error)) throw error
      await pause(delayMs(attempt), request.signal)
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

/** How long to wait after an attempt (1, 2, …) that failed. */
export function delayMs(attempt: number): number {
  return FIRST_DELAY_MS * 2 ** (attempt - 1) * (0.5 + Math.random())
}

/** `Retry-After` in milliseconds: seconds or a date. RFC 9110 section 10.2.3 */
export function retryAfterMs({ headers }: HttpResponse): number | undefined {
  const value = headers['retry-after']
  if (value === undefined) return undefined
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now()
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(ms, 0), LONGEST_DELAY_MS)
}
