import { type ErrorKind, readAtMost, StrataError } from '../base/index.ts'
import { LATER, retryAfterMs } from './retry.ts'
import type { HttpResponse } from './send.ts'

/** An error page, not a blob. */
const MAX_ERROR_BYTES = 64 * 1024

const KINDS: Readonly<Record<number, ErrorKind>> = {
  401: 'unauthorized',
  403: 'permissionDenied',
  404: 'notFound',
  429: 'resourceExhausted',
}

const HINTS: Readonly<Record<number, string>> = {
  401: 'Sign in with `strata login`, naming the registry as images do.',
  403: 'The credentials for this registry do not allow it.',
  404: 'Check the name; a private repository also answers like this without credentials.',
}

/** What an answer that is not the expected one means; reads its body. distribution-spec "Error Codes" @param action `push "x"` */
export async function answerError(action: string, response: HttpResponse): Promise<StrataError> {
  const { status } = response
  const kind = KINDS[status] ?? (status >= 500 ? 'unavailable' : 'invalidArgument')
  const hint = HINTS[status] ?? laterHint(response)
  const message = await readMessage(response)
  return new StrataError(
    kind,
    'STRATA_REGISTRY_ANSWER',
    `Cannot ${action}: the registry answers ${status}${message === '' ? '' : ` (${message})`}`,
    hint === undefined ? {} : { hint },
  )
}

/** When to come again, where an answer says "later". */
export function laterHint(response: HttpResponse): string | undefined {
  const ms = LATER.has(response.status) ? retryAfterMs(response) : undefined
  if (ms === undefined && response.status !== 429) return undefined
  const when = ms === undefined ? 'later' : `in ${inWords(ms)}`
  return response.status === 429 ? `The registry allows no more requests now; try again ${when}.` : `Try again ${when}.`
}

function inWords(ms: number): string {
  const seconds = Math.ceil(ms / 1000)
  if (seconds < 120) return seconds === 1 ? 'a second' : `${seconds} seconds`
  const minutes = Math.ceil(seconds / 60)
  return minutes < 120 ? `${minutes} minutes` : `${Math.ceil(minutes / 60)} hours`
}

async function readMessage(response: HttpResponse): Promise<string> {
  try {
    const { errors } = JSON.parse((await readAtMost(response.body, MAX_ERROR_BYTES)).toString()) as {
      errors?: readonly { code?: unknown; message?: unknown }[]
    }
    const [first] = errors ?? []
    // Text of a stranger on our terminal: one printable line.
    return [first?.code, first?.message]
      .filter(part => typeof part === 'string' && part !== '')
      .join(': ')
      .replaceAll(/[^\x20-\x7e]/g, ' ')
      .slice(0, 300)
  } catch {
    // Not the spec's JSON, or broken off: the status says enough.
    return ''
  }
}
