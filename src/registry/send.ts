import type { ClientRequest, IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { type Duplex, finished } from 'node:stream'
import { arriving, type ByteStream, type CallOptions, errnoOf, isStrataError, type ProgressListener, StrataError } from '../base/index.ts'
import { type Connection, type ConnectionOptions, Connections } from './connections.ts'
import { PROXY_AUTHENTICATION_REQUIRED, ProxyRefusal, refusedByProxy } from './proxyRefusal.ts'
import { trustError } from './trust.ts'

export interface HttpRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PATCH' | 'PUT' | 'DELETE'
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  /** A stream can be sent once only: such a request is never repeated. */
  readonly body?: Uint8Array | ByteStream
  readonly signal?: AbortSignal
  /** Hears of long waits before it is sent again. */
  readonly onProgress?: ProgressListener
}

/** What of a call's options goes with each of its requests. */
export const callOf = ({ signal, onProgress }: { readonly [Name in keyof CallOptions]: CallOptions[Name] | undefined }): CallOptions => ({
  ...(signal === undefined ? {} : { signal }),
  ...(onProgress === undefined ? {} : { onProgress }),
})

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

/** An answer that nobody wants is read to its end when it is no longer than this: its connection can be used again. */
const DISCARDED_BYTES = 64 * 1024
/** So many answers of the kind "100 Continue" may come before the answer. */
const MOST_INTERIM = 100
const USER_AGENT = 'strata'

/** Sends by HTTP/1.1 over pooled connections. `close` ends them. */
export function httpSender(options?: ConnectionOptions): { readonly send: Send; readonly close: () => void } {
  const connections = new Connections(options)
  return { send: request => exchange(request, connections), close: () => connections.close() }
}

async function exchange(request: HttpRequest, connections: Connections): Promise<HttpResponse> {
  const { url, body, signal } = request
  const connection = await connections.to(url)
  try {
    const response = await answerTo(request, connection)
    if (connection.proxy !== undefined && url.protocol === 'http:' && response.statusCode === PROXY_AUTHENTICATION_REQUIRED) {
      response.destroy()
      throw new ProxyRefusal(PROXY_AUTHENTICATION_REQUIRED)
    }
    return {
      status: response.statusCode!,
      headers: {
        ...Object.fromEntries(Object.entries(response.headersDistinct).map(([name, values]) => [name, values?.[0]])),
        'www-authenticate': response.headersDistinct['www-authenticate']?.join(', '),
      },
      body: Object.assign(
        arriving(response, cause => connectionError(request, connection, cause)),
        { discard: () => discard(response) },
      ),
    }
  } catch (cause) {
    // The server has closed a connection that waited for its next request, and says so only now.
    const again = cause instanceof StaleConnection || connection.mayHelp(cause)
    const isRepeatable = body === undefined || body instanceof Uint8Array
    if (again && isRepeatable && signal?.aborted !== true) return exchange(request, connections)
    throw connectionError(request, connection, cause)
  }
}

class StaleConnection extends Error {}

/** Sends a request; resolves when the head of the answer is there, which may be before the body is sent. */
async function answerTo({ method, url, headers, body, signal }: HttpRequest, connection: Connection): Promise<IncomingMessage> {
  const { agent, open } = connection
  signal?.throwIfAborted()
  const sent = open(url, {
    agent,
    method,
    headers: { 'user-agent': USER_AGENT, 'accept-encoding': 'identity', ...headers },
    ...(signal === undefined ? {} : { signal }),
  })
  limitWaiting(sent, connection)
  const answered = answerOf(sent, signal)
  const sending = sendBody(sent, body)
  // What ends the sending ends the request, and is told as that.
  sending.catch(() => undefined)
  try {
    const response = await answered
    // Who takes it all takes it to its end, whenever he says so; who refuses it may not want the rest.
    if (response.statusCode! < 300) await sending
    return response
  } catch (error) {
    if (sent.reusedSocket && errnoOf(error) === 'ECONNRESET') throw new StaleConnection('the connection was closed', { cause: error })
    throw error
  }
}

/** Settles however the exchange ends: what waits for ever ends the process as if all had been done. */
function answerOf(request: ClientRequest, signal: AbortSignal | undefined): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    let interim = 0
    // A request that waits for its connection, which a proxy may not give, ends only when that comes or not.
    const onAbort = (): void => reject(signal!.reason as Error)
    signal?.addEventListener('abort', onAbort)
    request.once('close', () => signal?.removeEventListener('abort', onAbort))
    request.once('response', resolve)
    // What goes wrong after the answer is told by the answer's body.
    request.on('error', reject)
    // Nobody asks for another protocol. Where nobody listens, Node drops the connection and tells nobody.
    request.once('upgrade', ({ statusCode }: IncomingMessage, socket: Duplex) => {
      socket.destroy()
      reject(new Error(`it answers ${statusCode}`))
    })
    request.on('information', () => {
      interim += 1
      if (interim > MOST_INTERIM) request.destroy(endlessPromises(request))
    })
    request.once('close', () => reject(new Error('the connection was closed')))
  })
}

/** Nothing would be better another time. */
const endlessPromises = (request: ClientRequest): StrataError =>
  new StrataError(
    'unsupported',
    'STRATA_REGISTRY_ANSWER',
    `Cannot understand registry "${request.host}": it answers again and again that the answer will come`,
  )

/** Ends a request to a server that does not let us in, or does not go on. */
function limitWaiting(request: ClientRequest, { connectTimeoutMs, stallTimeoutMs }: Connection): void {
  // From the start: a TLS handshake, or one through a proxy, may be what does not go on.
  const timer = setTimeout(() => request.destroy(new Error(`no connection within ${connectTimeoutMs / 1000} s`)), connectTimeoutMs)
  const stop = (): void => clearTimeout(timer)
  request.once('close', stop)
  let response: IncomingMessage | undefined
  request.once('response', (answer: IncomingMessage) => {
    response = answer
  })
  request.once('socket', (socket: Socket) => {
    if (!isConnecting(socket)) stop()
    else socket.once('encrypted' in socket ? 'secureConnect' : 'connect', stop)
    const onIdle = (): void => {
      // Who reads slowly waits for itself.
      if (response !== undefined && (response.isPaused() || response.readableLength > 0)) socket.setTimeout(stallTimeoutMs)
      else request.destroy(new Error(`nothing came for ${stallTimeoutMs / 1000} s`))
    }
    socket.setTimeout(stallTimeoutMs).on('timeout', onIdle)
    request.once('close', () => socket.setTimeout(0).off('timeout', onIdle))
  })
}

function isConnecting(socket: Socket & { readonly secureConnecting?: boolean }): boolean {
  return socket.connecting || socket.secureConnecting === true
}

/**
 * The next chunk is asked for when this one has left the process: its memory may be used again then. Rejects when not all could
 * be sent.
 */
async function sendBody(request: ClientRequest, body: HttpRequest['body']): Promise<void> {
  if (body === undefined || body instanceof Uint8Array) {
    request.end(body)
    return
  }
  let goOn = (): void => undefined
  // A request that has ended may call nobody back.
  request.once('close', () => goOn())
  try {
    for await (const chunk of body) {
      if (request.destroyed) throw new Error('the connection was closed')
      await new Promise<void>(resolve => {
        goOn = resolve
        request.write(chunk, () => resolve())
      })
    }
    request.end()
  } catch (error) {
    request.destroy(error as Error)
    throw error
  }
}

/** What nobody wants may break. */
async function discard(body: IncomingMessage): Promise<void> {
  body.on('error', () => undefined)
  if (Number(body.headers['content-length'] ?? Infinity) > DISCARDED_BYTES) body.destroy()
  else await new Promise<void>(resolve => finished(body.resume(), () => resolve()))
}

function connectionError({ url, signal }: HttpRequest, { proxy }: Connection, cause: unknown): StrataError {
  if (isStrataError(cause)) return cause
  if (signal?.aborted === true) {
    if (isStrataError(signal.reason)) return signal.reason
    return new StrataError('cancelled', 'STRATA_CANCELLED', `Cannot finish the request to "${url.host}": it was cancelled`, { cause })
  }
  // Where the registry speaks no TLS, only a proxy can have a wrong certificate.
  const untrusted = url.protocol === 'https:' ? trustError(url, cause) : undefined
  if (untrusted !== undefined) return untrusted
  // Without the password that may be in its address.
  const action = `reach registry "${url.host}"${proxy === undefined ? '' : ` through the proxy "${proxy.host}"`}`
  const refused = refusedByProxy(action, cause)
  if (refused !== undefined) return refused
  const where = proxy === undefined ? 'the network' : 'the proxy (of $HTTPS_PROXY or $HTTP_PROXY)'
  return new StrataError('unavailable', 'STRATA_REGISTRY_UNREACHABLE', `Cannot ${action}: ${deepestCause(cause).message}`, {
    cause,
    hint: `Check the name, ${where} and that the registry is running.`,
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
