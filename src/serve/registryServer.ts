import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerOptions, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { errnoOf, StrataError, systemError } from '../base/index.ts'
import { parseReference } from '../oci/index.ts'
import { type Access, openAccess } from './access.ts'
import { Blobs } from './blobs.ts'
import { answerJson, ended, IDLE_MS } from './exchange.ts'
import { DEFAULT_LISTEN, formatAddress, isOwnName, type ListenAddress, ownNames, parseListenAddress } from './listenAddress.ts'
import { Listings } from './listings.ts'
import { Manifests } from './manifests.ts'
import type { RegistryServer, ServeContext, ServeOptions } from './options.ts'
import { ImageRecording } from './recordImage.ts'
import { Referrers } from './referrers.ts'
import { errorAnswer } from './registryError.ts'
import { Repositories } from './repositories.ts'
import { matchRoute, PATHS, type Route } from './routes.ts'
import type { HiddenName } from './servedNames.ts'
import { Uploads } from './uploads.ts'
import { Upstream } from './upstream.ts'

/** Connections at once; more are refused by the kernel's queue first. */
const MOST_CONNECTIONS = 1024
/** The head of a request must be there by then. */
const HEAD_TIMEOUT_MS = 10_000
/** How long a connection waits for its next request. */
const KEPT_MS = 30_000
/** How long a refused client may take to see that it is. */
const DISCARD_MS = 5000
/** How long transfers that are under way may go on when the server is closed. */
const GRACE_MS = 10_000
/** Names are looked at this often for ones that have become hidden, also while nobody asks for any. */
const NAMES_CHECKED_MS = 2000

/**
 * Serves a store as a registry, by the distribution-spec.
 *
 * Images are found under their path without the registry: `127.0.0.1:5000/team/app` and `team/app` as `team/app`,
 * `docker.io/library/x` as `library/x` and as `x`. What clients push gets this registry's own name: after a push of
 * `127.0.0.1:5000/team/app:1` there is an image `127.0.0.1:5000/team/app:1`, the name that this machine's user would pull
 * it by, and never one of another registry: a client cannot change what `debian:12` means here. (Behind an address that
 * stands for all of a machine's the name is `127.0.0.1:PORT`.) A registry's own names come before all others, so that
 * what was pushed is what is pulled.
 *
 * Resolves when clients can connect. Rejects with `invalidArgument` for options that cannot be or that would let
 * strangers in, and with `conflict` (STRATA_ADDRESS_IN_USE) when somebody else listens there.
 */
export async function serveRegistry(context: ServeContext): Promise<RegistryServer> {
  const { options } = context
  const wanted = parseListenAddress(options.listen ?? DEFAULT_LISTEN)
  checkUpstream(options, wanted)
  const access = await openAccess(wanted, options)
  const server = await createHttpServer(options)
  await listen(server, wanted)
  return new StoreServer(server, { ...wanted, port: (server.address() as AddressInfo).port }, { context, access })
}

function checkUpstream({ upstream, writable }: ServeOptions, listening: ListenAddress): void {
  if (upstream === undefined) return
  if (writable === true) {
    throw new StrataError('invalidArgument', 'STRATA_CACHE_IS_READ_ONLY', `Cannot serve a cache of "${upstream}" that is writable`, {
      hint: 'Serve one of them on another port.',
    })
  }
  if (isOwnName(upstream, listening)) {
    throw new StrataError(
      'invalidArgument',
      'STRATA_UPSTREAM_INVALID',
      `Cannot serve a cache of "${upstream}": that is this server itself`,
      {
        hint: 'Name the registry whose images it shall keep.',
      },
    )
  }
  if (isRegistry(upstream)) return
  throw new StrataError(
    'invalidArgument',
    'STRATA_UPSTREAM_INVALID',
    `Cannot use upstream ${JSON.stringify(upstream.slice(0, 100))}: it is no registry`,
    {
      hint: 'Write a host with an optional port: docker.io, registry.example.org:5000.',
    },
  )
}

function isRegistry(text: string): boolean {
  try {
    return parseReference(`${text}/a/b`).domain === text
  } catch {
    return false
  }
}

async function createHttpServer({ tls }: ServeOptions): Promise<Server> {
  // An upload may take hours as long as it goes on; a connection that rests is closed.
  const limits: ServerOptions = {
    keepAliveTimeout: KEPT_MS,
    headersTimeout: HEAD_TIMEOUT_MS,
    requestTimeout: 0,
    connectionsCheckingInterval: 2000,
    keepAlive: true,
  }
  const server = tls === undefined ? createServer(limits) : await createTlsServer(tls, limits)
  server.maxConnections = MOST_CONNECTIONS
  server.setTimeout(IDLE_MS, (socket: Socket) => socket.destroy())
  return server
}

async function createTlsServer({ certificate, key }: NonNullable<ServeOptions['tls']>, limits: ServerOptions): Promise<Server> {
  const https = await import('node:https')
  const read = async (path: string): Promise<Buffer> => {
    try {
      return await readFile(path)
    } catch (error) {
      throw systemError(`read "${path}"`, error)
    }
  }
  const files = { cert: await read(certificate), key: await read(key) }
  try {
    return https.createServer({ ...limits, ...files, minVersion: 'TLSv1.2', handshakeTimeout: HEAD_TIMEOUT_MS })
  } catch (cause) {
    throw new StrataError(
      'invalidArgument',
      'STRATA_TLS_FILES_INVALID',
      `Cannot use "${certificate}" and "${key}" for TLS: they are no pair of PEM files`,
      { cause },
    )
  }
}

async function listen(server: Server, { host, port }: ListenAddress): Promise<void> {
  try {
    server.listen(port, host)
    await once(server, 'listening')
  } catch (error) {
    const where = formatAddress({ host, port })
    if (errnoOf(error) !== 'EADDRINUSE') throw systemError(`listen on ${where}`, error)
    throw new StrataError('conflict', 'STRATA_ADDRESS_IN_USE', `Cannot listen on ${where}: another program does`, {
      hint: 'Choose another port with --listen, or :0 for any that is free.',
    })
  }
}

interface StoreServerParts {
  readonly context: ServeContext
  readonly access: Access
}

class StoreServer implements RegistryServer {
  readonly address: string
  readonly url: URL
  readonly #server: Server
  readonly #context: ServeContext
  readonly #access: Access
  readonly #repositories: Repositories
  readonly #uploads: Uploads
  readonly #upstream: Upstream | undefined
  readonly #routes: readonly Route[]
  readonly #nameCheck: NodeJS.Timeout
  /** Connections on which nothing was asked yet, by their other end. */
  readonly #silent = new Map<string, Socket>()
  #closing: Promise<void> | undefined

  constructor(server: Server, listening: ListenAddress, { context, access }: StoreServerParts) {
    const { options, stores } = context
    // What derivable blobs are made from.
    void stores.layers
    this.address = formatAddress(listening)
    this.url = new URL(`${options.tls === undefined ? 'http' : 'https'}://${this.address}`)
    this.#server = server
    this.#context = context
    this.#access = access
    this.#repositories = new Repositories(context, ownNames(listening))
    this.#uploads = new Uploads(stores, this.#repositories)
    this.#upstream = options.upstream === undefined ? undefined : new Upstream(options.upstream, context, this.#repositories)
    this.#routes = this.#makeRoutes()
    this.#nameCheck = setInterval(() => this.#checkNames(), NAMES_CHECKED_MS).unref()
    server.on('connection', (socket: Socket) => this.#admit(socket))
    server.on('clientError', (_, socket) => socket.destroy())
    server.on('request', (request: IncomingMessage, response: ServerResponse) => void this.#serve(request, response))
  }

  get hidden(): readonly HiddenName[] {
    return this.#repositories.names.hidden
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close())
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    clearInterval(this.#nameCheck)
    const closed = once(this.#server, 'close')
    // Closes connections that wait for a request, too.
    this.#server.close()
    // Those on which none has come yet it takes for busy ones.
    for (const socket of this.#silent.values()) socket.destroy()
    const timer = setTimeout(() => this.#server.closeAllConnections(), GRACE_MS)
    await closed
    clearTimeout(timer)
    await this.#uploads[Symbol.asyncDispose]()
    await this.#upstream?.[Symbol.asyncDispose]()
    this.#repositories.waiting.close()
  }

  /** Whoever wants to be told of hidden names is told when they are looked at. */
  #checkNames(): void {
    try {
      void this.#repositories.names
    } catch (error) {
      this.#context.logger.error('Cannot look at the names of the store', { error })
    }
  }

  #admit(socket: Socket): void {
    if (this.#closing !== undefined || !this.#access.admits(socket.remoteAddress ?? '')) {
      socket.destroy()
      return
    }
    const peer = peerOf(socket)
    this.#silent.set(peer, socket)
    socket.once('close', () => this.#silent.delete(peer))
  }

  #makeRoutes(): readonly Route[] {
    const { stores } = this.#context
    const [repositories, uploads, upstream] = [this.#repositories, this.#uploads, this.#upstream]
    const referrers = new Referrers(stores, repositories, upstream)
    const recording = new ImageRecording(this.#context)
    const manifests = new Manifests({ stores, repositories, recording, referrers, upstream })
    const blobs = new Blobs({ stores, repositories, upstream })
    const listings = new Listings(repositories, upstream)
    const routes: readonly Route[] = [
      { path: PATHS.root, read: async exchange => answerJson(exchange, {}) },
      { path: PATHS.catalog, read: exchange => listings.catalog(exchange) },
      {
        path: PATHS.upload,
        writes: {
          GET: exchange => uploads.status(exchange),
          PATCH: exchange => uploads.append(exchange),
          PUT: exchange => uploads.finish(exchange),
          DELETE: exchange => uploads.cancel(exchange),
        },
      },
      { path: PATHS.uploads, writes: { POST: exchange => uploads.begin(exchange) } },
      { path: PATHS.blob, read: exchange => blobs.get(exchange), writes: { DELETE: exchange => blobs.delete(exchange) } },
      {
        path: PATHS.manifest,
        read: exchange => manifests.get(exchange),
        writes: { PUT: exchange => manifests.put(exchange), DELETE: exchange => manifests.delete(exchange) },
      },
      { path: PATHS.tags, read: exchange => listings.tags(exchange) },
      { path: PATHS.referrers, read: exchange => referrers.list(exchange) },
    ]
    return this.#context.options.writable === true ? routes : routes.map(route => ({ ...route, writes: {} }))
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const startedAt = performance.now()
    this.#silent.delete(peerOf(request.socket))
    const bytesBefore = request.socket.bytesWritten
    let user: string | undefined
    response.setHeader('docker-distribution-api-version', 'registry/2.0')
    // What goes wrong with a connection ends its requests, and is nobody's business.
    response.on('error', () => undefined)
    if (this.#closing !== undefined) response.setHeader('connection', 'close')
    try {
      user = await this.#access.userOf(request)
      const { pathname = '', searchParams: query = new URLSearchParams() } = URL.parse(request.url ?? '', 'http://registry') ?? {}
      const { handle, isWrite, name, reference } = matchRoute(this.#routes, request.method ?? '', pathname)
      if (isWrite) this.#access.checkMayPush(user)
      await handle({ request, response, name, reference, query })
    } catch (error) {
      this.#fail(request, response, error)
    }
    await ended(response)
    // A client that was told that it may keep the connection would keep the server.
    if (this.#closing !== undefined) request.socket.destroySoon()
    const bytes = request.socket.bytesWritten - bytesBefore
    this.#context.options.onRequest?.({
      client: request.socket.remoteAddress ?? '',
      user,
      method: request.method ?? '',
      url: (request.url ?? '').replaceAll(/[^\x21-\x7e]/g, '?').slice(0, 1000),
      // An answer to a client that has gone is made, and goes nowhere.
      status: response.headersSent && bytes > 0 ? response.statusCode : undefined,
      bytes,
      durationMs: Math.round(performance.now() - startedAt),
    })
  }

  /** An answer that has begun can only be broken off: its client sees that it is not whole. */
  #fail(request: IncomingMessage, response: ServerResponse, error: unknown): void {
    const { status, headers, body, isFault } = errorAnswer(error)
    if (isFault && !response.destroyed)
      this.#context.logger.error('Cannot answer a request', { method: request.method, url: request.url, error })
    if (response.headersSent || response.destroyed) {
      response.destroy()
      return
    }
    if (!request.complete) discardRest(request)
    response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), ...headers })
    response.end(request.method === 'HEAD' ? undefined : body)
  }
}

/** The other end of a connection; that of TLS and that below it are the same. */
const peerOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress} ${remotePort}`

/**
 * Reads what is left of a body that nobody wants. A client that still sends when its connection is closed does not get to
 * see the answer; but none may go on for long.
 */
function discardRest(request: IncomingMessage): void {
  const timer = setTimeout(() => request.destroy(), DISCARD_MS)
  request.once('close', () => clearTimeout(timer)).once('end', () => clearTimeout(timer))
  request.resume()
}
