import type { Readable } from 'node:stream'
import { Agent, type Dispatcher, request as undiciRequest } from 'undici'
import { arriving, type ByteStream, isStrataError, StrataError } from '../base/index.ts'

export interface HttpRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PATCH' | 'PUT' | 'DELETE'
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  /** A stream can be sent once only: such a request is never repeated. */
  readonly body?: Uint8Array | ByteStream
  readonly signal?: AbortSignal
}

export interface HttpResponse {
  readonly status: number
  /** Names in lower case; of a repeated header the first value. */
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly body: ByteStream & { discard(): Promise<void> }
}

/** Sends one request. Rejects only when there is no answer: every status is an answer. */
export type Send = (request: HttpRequest) => Promise<HttpResponse>
/** One cross-cutting concern: retry, authorization, redirects. */
export type Wrap = (next: Send) => Send

/** The first wrap is the outermost. */
export function compose(send: Send, ...wraps: readonly Wrap[]): Send {
  return wraps.reduceRight((next, wrap) => wrap(next), send)
}

const CONNECT_TIMEOUT_MS = 10_000
/** A registry that sends nothing for this long is taken for dead. */
const STALL_TIMEOUT_MS = 60_000
const USER_AGENT = 'strata'

/** Sends by HTTP/1.1 over pooled connections. `close` ends them. */
export function httpSender(): { readonly send: Send; readonly close: () => Promise<void> } {
  const agent = new Agent({ connect: { timeout: CONNECT_TIMEOUT_MS }, headersTimeout: STALL_TIMEOUT_MS, bodyTimeout: STALL_TIMEOUT_MS })
  return {
    send: request => dispatch(agent, request),
    close: () => agent.close(),
  }
}

async function dispatch(agent: Dispatcher, { method, url, headers, body, signal }: HttpRequest): Promise<HttpResponse> {
  try {
    const response = await undiciRequest(url, {
      dispatcher: agent,
      method,
      headers: { 'user-agent': USER_AGENT, 'accept-encoding': 'identity', ...headers },
      body: (body ?? null) as Dispatcher.RequestOptions['body'] & null,
      ...(signal === undefined ? {} : { signal }),
    })
    return {
      status: response.statusCode,
      headers: Object.fromEntries(Object.entries(response.headers).map(([name, value]) => [name, Array.isArray(value) ? value[0] : value])),
      body: Object.assign(readBody(response.body, url), { discard: () => response.body.dump() }),
    }
  } catch (cause) {
    throw connectionError(url, cause, signal)
  }
}

function readBody(body: Readable, url: URL): ByteStream {
  return {
    async *[Symbol.asyncIterator]() {
      try {
        yield* arriving(body)
      } catch (cause) {
        throw connectionError(url, cause, undefined)
      }
    },
  }
}

function connectionError(url: URL, cause: unknown, signal: AbortSignal | undefined): StrataError {
  if (isStrataError(cause)) return cause
  if (signal?.aborted === true)
    return new StrataError('cancelled', 'STRATA_CANCELLED', `Cannot finish the request to "${url.host}": it was cancelled`, { cause })
  const deepest = deepestCause(cause)
  return new StrataError('unavailable', 'STRATA_REGISTRY_UNREACHABLE', `Cannot reach registry "${url.host}": ${deepest.message}`, {
    cause,
    hint: 'Check the name, the network and that the registry is running.',
  })
}

function deepestCause(error: unknown): Error {
  let deepest = error instanceof Error ? error : new Error(String(error))
  while (deepest.cause instanceof Error) deepest = deepest.cause
  // A connection that failed to each address of a name has its reasons in a list, and no message of its own.
  if (deepest instanceof AggregateError && deepest.message === '')
    return new Error(deepest.errors.map(each => (each as Error).message).join('; '))
  return deepest
}
