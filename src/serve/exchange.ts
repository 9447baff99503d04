import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { type ByteStream, release } from '../base/index.ts'
import { RegistryError } from './registryError.ts'

/** A request with what its path says, and the answer to it. */
export interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  /** The repository; '' where the route has none. */
  readonly name: string
  /** The last part of the path: a tag, a digest, an upload. */
  readonly reference: string
  readonly query: URLSearchParams
}

export type Handler = (exchange: Exchange) => Promise<void>

type Headers = Readonly<Record<string, string | number>>

/** A client that takes or gives nothing for this long is gone. */
export const IDLE_MS = 60_000

/** An answer without a body. One to a `HEAD`, and a 304, may tell the length of what they leave out. */
export function answer({ response }: Exchange, status: number, headers: Headers = {}): void {
  const none = status === 204 || status === 304 ? {} : { 'content-length': 0 }
  response.writeHead(status, { ...none, ...headers }).end()
}

export function answerJson({ request, response }: Exchange, value: unknown, headers: Headers = {}): void {
  const body = Buffer.from(JSON.stringify(value))
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': body.length, ...headers })
  response.end(request.method === 'HEAD' ? undefined : body)
}

/**
 * Sends bytes after a head that announces how many they are. The head goes out with the first chunk, so that what cannot
 * be read at all is told as an error; whatever fails later cuts the connection: the client never takes a part, or bytes
 * that are not what their digest says, for the whole.
 */
export async function answerBytes(
  { response }: Exchange,
  head: { readonly status: 200 | 206; readonly headers: Headers },
  bytes: ByteStream,
): Promise<void> {
  let isFirst = true
  for await (const chunk of bytes) {
    if (isFirst) response.writeHead(head.status, head.headers)
    isFirst = false
    if (response.destroyed) return
    await written(response, chunk)
    release(chunk)
  }
  if (isFirst) response.writeHead(head.status, head.headers)
  response.end()
}

/** Resolves when a chunk has left the process, or the client has gone. */
async function written(response: ServerResponse, chunk: Uint8Array): Promise<void> {
  const gone = Promise.withResolvers<void>()
  const onClose = (): void => gone.resolve()
  response.once('close', onClose)
  try {
    await Promise.race([new Promise<void>(resolve => response.write(chunk, () => resolve())), gone.promise])
  } finally {
    response.off('close', onClose)
  }
}

/** Tells the client that what it has is still right. RFC 9110 section 13.1.2 */
export function isUnchanged({ request }: Exchange, etag: string): boolean {
  const known = request.headers['if-none-match']
  return known !== undefined && (known.trim() === '*' || known.split(',').some(each => each.trim().replace(/^W\//, '') === etag))
}

/** The type of a body without its parameters, in lower case; '' where none is named. */
export function contentType({ request }: Exchange): string {
  return (request.headers['content-type'] ?? '').split(';')[0]!.trim().toLowerCase()
}

/** How many bytes a request announces; undefined where it does not. */
export function announcedBytes({ request }: Exchange): number | undefined {
  const header = request.headers['content-length']
  return header === undefined ? undefined : Number(header)
}

/** A request's body. Who stops early leaves the connection as it is: the answer must still go over it. */
export function bodyOf({ request }: Exchange): AsyncIterable<Buffer> {
  return request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>
}

/** Reads a small body, within `timeoutMs`. @throws RegistryError 413 for a longer one */
export async function readBody(exchange: Exchange, limit: number, timeoutMs: number): Promise<Buffer> {
  const tooLarge = new RegistryError('MANIFEST_INVALID', `the body has more than ${limit} bytes`, { status: 413 })
  if ((announcedBytes(exchange) ?? 0) > limit) throw tooLarge
  const timer = setTimeout(() => exchange.request.destroy(), timeoutMs)
  try {
    const chunks: Buffer[] = []
    let size = 0
    for await (const chunk of bodyOf(exchange)) {
      size += chunk.length
      if (size > limit) throw tooLarge
      chunks.push(chunk)
    }
    return Buffer.concat(chunks)
  } finally {
    clearTimeout(timer)
  }
}

/** Does work during which nothing goes over the connection, however long it takes. */
export async function whileConnectionRests<Result>({ request }: Exchange, work: () => Promise<Result>): Promise<Result> {
  request.socket.setTimeout(0)
  try {
    return await work()
  } finally {
    request.socket.setTimeout(IDLE_MS)
  }
}

/** Resolves when a request's answer has ended, one way or the other. */
export async function ended(response: ServerResponse): Promise<void> {
  if (!response.closed) await once(response, 'close')
}
