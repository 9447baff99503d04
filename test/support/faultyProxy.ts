import { once } from 'node:events'
import http, { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'

/** What is done to one request, or its answer; the registry behind does the rest. */
export interface Fault {
  /** Answers this itself; the registry hears nothing of it. */
  readonly answer?: { readonly status: number; readonly headers?: Readonly<Record<string, string>>; readonly body?: string }
  /** Breaks the connection after so many bytes of the answer's body. */
  readonly cutAfter?: number
  /** Sends nothing more after so many bytes, and keeps the connection. */
  readonly stallAfter?: number
  /** Breaks the connection after so many bytes of the request's body. */
  readonly cutRequestAfter?: number
  /** Breaks the connection when the registry has answered, without a word of the answer. */
  readonly losesAnswer?: boolean
  /** Flips a bit of that byte of the answer's body. */
  readonly corruptAt?: number
  /** Other headers for the registry (lower case); undefined takes one away. */
  readonly ask?: Readonly<Record<string, string | undefined>>
  /** Other headers in the answer; undefined takes one away. */
  readonly say?: Readonly<Record<string, string | undefined>>
  /** Another body of the answer. */
  readonly body?: (bytes: Buffer) => Buffer
}

/** What went through, or was meant to. */
export interface Exchange {
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
  /** How many requests of this method and path there were before. */
  readonly earlier: number
  /** How many of this method there were before, of any path. */
  readonly others: number
  /** Bytes of bodies that passed. */
  up: number
  down: number
  /** Whether the connection was still used. */
  isOpen: boolean
}

export interface ProxyOptions {
  /** For each connection and direction. */
  readonly bytesPerSecond?: number | undefined
  readonly fault?: (exchange: Exchange) => Fault | undefined
}

export interface FaultyProxy extends AsyncDisposable {
  /** `127.0.0.1:<port>`, as in a reference. */
  readonly address: string
  readonly exchanges: readonly Exchange[]
  /** Bytes of blobs that came down. */
  blobBytes(): number
  /** Bytes that went up. */
  sentBytes(): number
}

/** A network between a client and a registry (`127.0.0.1:5000`) that is slow, and breaks where it is told to. */
export async function faultyProxy(registry: string, options: ProxyOptions = {}): Promise<FaultyProxy> {
  const exchanges: Exchange[] = []
  const server = createServer((request, response) => {
    const { method = '', url: path = '', headers } = request
    const earlier = exchanges.filter(each => each.method === method && each.path === path).length
    const others = exchanges.filter(each => each.method === method).length
    const exchange: Exchange = { method, path, headers, earlier, others, up: 0, down: 0, isOpen: true }
    exchanges.push(exchange)
    response.on('close', () => (exchange.isOpen = false)).on('error', () => undefined)
    request.on('error', () => undefined)
    // What breaks here is what the client is there for.
    pass(registry, { request, response, exchange, ...options }).catch(() => response.destroy())
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  return {
    address: `127.0.0.1:${port}`,
    exchanges,
    blobBytes: () => exchanges.filter(each => /\/blobs\/sha/.test(each.path)).reduce((sum, each) => sum + each.down, 0),
    sentBytes: () => exchanges.reduce((sum, each) => sum + each.up, 0),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

interface Passing extends ProxyOptions {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly exchange: Exchange
}

async function pass(registry: string, { request, response, exchange, bytesPerSecond, fault: choose }: Passing): Promise<void> {
  const fault = choose?.(exchange) ?? {}
  if (fault.answer !== undefined) {
    request.resume()
    response.writeHead(fault.answer.status, fault.answer.headers).end(fault.answer.body)
    return
  }
  const [host, port] = registry.split(':')
  // The name that it was asked by is the one that the registry's locations have.
  const headers = changed(exchange.headers, fault.ask)
  const behind = http.request({ host, port, method: exchange.method, path: exchange.path, headers })
  behind.on('error', () => response.destroy())
  response.on('close', () => behind.destroy())
  const answered = once(behind, 'response') as Promise<[IncomingMessage]>
  answered.catch(() => undefined)
  for await (const chunk of paced(request, bytesPerSecond)) {
    exchange.up += chunk.length
    behind.write(chunk)
    if (exchange.up >= (fault.cutRequestAfter ?? Infinity)) {
      response.destroy()
      return
    }
  }
  behind.end()
  const [answer] = await answered
  if (fault.losesAnswer === true) {
    response.destroy()
    return
  }
  response.writeHead(answer.statusCode!, changed(answer.headers, fault.say))
  const source = fault.body === undefined ? answer : [fault.body(Buffer.concat(await Array.fromAsync(answer as AsyncIterable<Buffer>)))]
  await send(source, { response, exchange, ...(bytesPerSecond === undefined ? {} : { bytesPerSecond }), fault })
}

async function send(
  source: Readable | readonly Buffer[],
  { response, exchange, bytesPerSecond, fault }: Omit<Passing, 'request' | 'fault'> & { readonly fault: Fault },
): Promise<void> {
  const { corruptAt = -1, cutAfter = Infinity, stallAfter = Infinity } = fault
  for await (const whole of paced(source, bytesPerSecond)) {
    if (response.destroyed) return
    const chunk = Buffer.from(whole.subarray(0, Math.max(0, Math.min(cutAfter, stallAfter) - exchange.down)))
    const at = corruptAt - exchange.down
    if (at >= 0 && at < chunk.length) chunk[at]! ^= 0x10
    exchange.down += chunk.length
    await new Promise(resolve => response.write(chunk, resolve))
    if (exchange.down >= cutAfter) {
      response.destroy()
      return
    }
    if (exchange.down >= stallAfter) return
  }
  response.end()
}

async function* paced(source: AsyncIterable<Buffer> | readonly Buffer[], bytesPerSecond: number | undefined): AsyncGenerator<Buffer> {
  let freeAt = performance.now()
  for await (const chunk of source) {
    if (bytesPerSecond !== undefined) {
      freeAt = Math.max(freeAt, performance.now() - 20) + (chunk.length / bytesPerSecond) * 1000
      const wait = freeAt - performance.now()
      if (wait > 2) await sleep(wait)
    }
    yield chunk
  }
}

function changed(
  headers: IncomingHttpHeaders,
  changes: Readonly<Record<string, string | undefined>> = {},
): Record<string, string | string[]> {
  const all = { ...headers, ...changes }
  return Object.fromEntries(
    Object.entries(all).filter((entry): entry is [string, string | string[]] => entry[1] !== undefined && entry[0] !== 'transfer-encoding'),
  )
}

/** An answer that comes packed, though nobody asked for that. */
export const packed: Fault = { body: bytes => gzipSync(bytes), say: { 'content-encoding': 'gzip', 'content-length': undefined } }
