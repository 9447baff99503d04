import { once } from 'node:events'
import http, { type Agent, type ClientRequest, type IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { arriving, type ByteStream, errnoOf, isStrataError, StrataError } from '../base/index.ts'

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
  /** Names in lower case; of a repeated header the first value, but all challenges of `www-authenticate`. */
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
/** A server that sends nothing for this long is taken for dead. */
const STALL_TIMEOUT_MS = 60_000
/** An answer that nobody wants is read to its end when it is no longer than this: its connection can be used again. */
const DISCARDED_BYTES = 64 * 1024
const USER_AGENT = 'strata'

/** Sends by HTTP/1.1 over pooled connections. `close` ends them. */
export function httpSender(): { readonly send: Send; readonly close: () => void } {
  const connections = new Connections()
  return { send: async request => exchange(request, await connections.to(request.url)), close: () => connections.close() }
}

interface Connection {
  readonly agent: Agent
  readonly open: typeof http.request
}

class Connections {
  readonly #agents = new Map<string, Agent>()

  /** How a URL is reached. TLS is loaded by the first that needs it: its certificates take long. */
  async to({ protocol }: URL): Promise<Connection> {
    const { Agent, request } = protocol === 'https:' ? await import('node:https') : http
    const agent = this.#agents.get(protocol) ?? new Agent({ keepAlive: true })
    this.#agents.set(protocol, agent)
    return { agent, open: request }
  }

  close(): void {
    for (const agent of this.#agents.values()) agent.destroy()
  }
}

async function exchange(request: HttpRequest, connection: Connection): Promise<HttpResponse> {
  const { url, body, signal } = request
  try {
    const response = await answerTo(request, connection)
    return {
      status: response.statusCode!,
      headers: {
        ...Object.fromEntries(Object.entries(response.headersDistinct).map(([name, values]) => [name, values?.[0]])),
        'www-authenticate': response.headersDistinct['www-authenticate']?.join(', '),
      },
      body: Object.assign(readBody(response, url), { discard: () => discard(response) }),
    }
  } catch (cause) {
    // The server has closed a connection that waited for its next request, and says so only now.
    const isStale = cause instanceof StaleConnection && (body === undefined || body instanceof Uint8Array)
    if (isStale && signal?.aborted !== true) return exchange(request, connection)
    throw connectionError(url, cause, signal)
  }
}

class StaleConnection extends Error {}

/** Sends a request; resolves when the head of the answer is there, which may be before the body is sent. */
async function answerTo({ method, url, headers, body, signal }: HttpRequest, { agent, open }: Connection): Promise<IncomingMessage> {
  signal?.throwIfAborted()
  const sent = open(url, {
    agent,
    method,
    headers: { 'user-agent': USER_AGENT, 'accept-encoding': 'identity', ...headers },
    ...(signal === undefined ? {} : { signal }),
  })
  // What goes wrong after the answer is told by the answer's body.
  sent.on('error', () => undefined)
  sent.once('socket', (socket: Socket) => limitWaiting(sent, socket))
  const answered = once(sent, 'response') as Promise<[IncomingMessage]>
  void sendBody(sent, body)
  try {
    const [response] = await answered
    return response
  } catch (error) {
    if (sent.reusedSocket && errnoOf(error) === 'ECONNRESET') throw new StaleConnection('the connection was closed', { cause: error })
    throw error
  }
}

/** Ends a request to a server that does not let us in, or does not go on. */
function limitWaiting(request: ClientRequest, socket: Socket): void {
  let response: IncomingMessage | undefined
  request.once('response', (answer: IncomingMessage) => {
    response = answer
  })
  if (socket.connecting) {
    const timer = setTimeout(() => request.destroy(new Error(`no connection within ${CONNECT_TIMEOUT_MS / 1000} s`)), CONNECT_TIMEOUT_MS)
    const stop = (): void => clearTimeout(timer)
    socket.once('connect', stop).once('close', stop)
  }
  const onIdle = (): void => {
    // Who reads slowly waits for itself.
    if (response !== undefined && response.readableLength > 0) socket.setTimeout(STALL_TIMEOUT_MS)
    else request.destroy(new Error(`nothing came for ${STALL_TIMEOUT_MS / 1000} s`))
  }
  socket.setTimeout(STALL_TIMEOUT_MS).on('timeout', onIdle)
  request.once('close', () => socket.setTimeout(0).off('timeout', onIdle))
}

/** The next chunk is asked for when this one has left the process: its memory may be used again then. */
async function sendBody(request: ClientRequest, body: HttpRequest['body']): Promise<void> {
  if (body === undefined || body instanceof Uint8Array) {
    request.end(body)
    return
  }
  // A request that has ended may call nobody back.
  const { promise: ended, resolve: end } = Promise.withResolvers<void>()
  request.once('close', end)
  try {
    for await (const chunk of body) {
      if (request.destroyed) return
      await Promise.race([new Promise(resolve => request.write(chunk, resolve)), ended])
    }
    request.end()
  } catch (error) {
    request.destroy(error as Error)
  }
}

function readBody(body: IncomingMessage, url: URL): ByteStream {
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

async function discard(body: IncomingMessage): Promise<void> {
  body.on('error', () => undefined)
  if (Number(body.headers['content-length'] ?? Infinity) > DISCARDED_BYTES) body.destroy()
  else if (!body.readableEnded) await once(body.resume(), 'close')
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
