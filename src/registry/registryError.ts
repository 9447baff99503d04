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

type Hints = Readonly<Record<number, string>>

const HINTS: Hints = {
  401: 'Sign in with `strata login`, naming the registry as images do.',
  403: 'The credentials for this registry do not allow it.',
  404: 'Check the name; a private repository also answers like this without credentials.',
}

const PUSH_HINTS: Hints = { ...HINTS, 404: 'Check the name; the registry may take nothing under it.' }
/** What says that a manifest names what the registry has not. distribution-spec "Error Codes" */
const MISSING_PARTS: ReadonlySet<unknown> = new Set(['MANIFEST_BLOB_UNKNOWN', 'BLOB_UNKNOWN'])

/** What an answer that is not the expected one means; reads its body. distribution-spec "Error Codes" @param action `get "x"` */
export function answerError(action: string, response: HttpResponse): Promise<StrataError> {
  return explain(response, { action, hints: HINTS })
}

/** As `answerError`, of a push. @param what for messages: `to "x"` */
export function pushError(what: string, response: HttpResponse): Promise<StrataError> {
  return explain(response, { action: `push ${what}`, hints: PUSH_HINTS })
}

/** As `pushError`, of a manifest; `conflict` (STRATA_REGISTRY_LACKS_PARTS) where the registry has not all that it names. */
export function manifestPushError(name: string, response: HttpResponse): Promise<StrataError> {
  return explain(response, { action: `push the manifest of "${name}"`, hints: PUSH_HINTS, namesParts: true })
}

interface Asked {
  readonly action: string
  readonly hints: Hints
  readonly namesParts?: boolean
}

async function explain(response: HttpResponse, { action, hints, namesParts = false }: Asked): Promise<StrataError> {
  const { status } = response
  const { codes, text } = await readErrors(response)
  const message = `Cannot ${action}: the registry answers ${status}${text === '' ? '' : ` (${text})`}`
  if (namesParts && codes.some(code => MISSING_PARTS.has(code)))
    return new StrataError('conflict', 'STRATA_REGISTRY_LACKS_PARTS', message, { hint: 'It has lost what was sent before: push again.' })
  const kind = KINDS[status] ?? (status >= 500 ? 'unavailable' : 'invalidArgument')
  const hint = hints[status] ?? laterHint(response)
  return new StrataError(kind, 'STRATA_REGISTRY_ANSWER', message, hint === undefined ? {} : { hint })
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

interface AnsweredErrors {
  readonly codes: readonly unknown[]
  /** The first, as it may be shown. */
  readonly text: string
}

async function readErrors(response: HttpResponse): Promise<AnsweredErrors> {
  try {
    const { errors = [] } = JSON.parse((await readAtMost(response.body, MAX_ERROR_BYTES)).toString()) as {
      errors?: readonly { code?: unknown; message?: unknown }[]
    }
    const [first] = errors
    // Text of a stranger on our terminal: one printable line.
    const text = [first?.code, first?.message]
      .filter(part => typeof part === 'string' && part !== '')
      .join(': ')
      .replaceAll(/[^\x20-\x7e]/g, ' ')
      .slice(0, 300)
    return { codes: errors.map(({ code }) => code), text }
  } catch {
    // Not the spec's JSON, or broken off: the status says enough.
    return { codes: [], text: '' }
  }
}
