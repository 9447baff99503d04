import { isStrataError, type Logger, silentLogger, StrataError } from '../base/index.ts'
import type { Reference } from '../oci/index.ts'
import { withAuthorization } from './authorization.ts'
import { findCredentials, missingHelper } from './credentials.ts'
import { findEndpoint } from './endpoint.ts'
import { HostChoice, type OpenableHost, type OpenedHost } from './hostChoice.ts'
import { CAPABILITIES, ConfigFiles, hostsFor, type RegistryEnvironment, registryEnvironment, type RegistryHost } from './hosts/index.ts'
import { type RateLimit, withRateLimit } from './limit.ts'
import { withRedirects } from './redirects.ts'
import { compose, type HttpResponse, httpSender, type Wrap } from './send.ts'
import { unauthorized } from './tokenService.ts'

export interface ConnectHostsOptions extends Partial<RegistryEnvironment> {
  readonly configDirectory: string
  readonly access: 'pull' | 'push'
  readonly rateLimit?: RateLimit
  readonly via?: string | undefined
  /** Hears of mirrors that are passed over. */
  readonly logger?: Logger
  /** Ends also what no single request is for: to find out the address, and to get a token. */
  readonly signal?: AbortSignal
  readonly distrusted?: Set<string>
}

/**
 * The hosts that a repository is read from, or the one that it is pushed to, ready to be asked. Credentials are looked up,
 * certificates read and addresses tried when a host is asked for the first time.
 */
export async function connectHosts(
  reference: Reference,
  options: ConnectHostsOptions,
): Promise<{ readonly choice: HostChoice; readonly close: () => void }> {
  const environment = registryEnvironment(options)
  const hosts = await hostsFor(reference, new ConfigFiles(environment))
  const wanted =
    options.access === 'pull'
      ? hosts.filter(({ capabilities }) => capabilities.has('pull') || capabilities.has('resolve'))
      : [pushHost(reference, hosts)]
  const connected = wanted.map(host => new ConnectedHost(host, { ...options, variables: environment.variables }))
  const close = (): void => connected.forEach(host => host.close())
  try {
    // Where there is only one, whoever connects hears at once that it is not there.
    if (connected.length === 1) await connected[0]!.open()
    const { logger = silentLogger, distrusted = new Set() } = options
    return { choice: new HostChoice(reference, connected, { logger, distrusted }), close }
  } catch (error) {
    close()
    throw error
  }
}

/** A registry itself, asked without credentials: for who has some to try. @param domain of a reference */
export async function connectRegistry(
  domain: string,
  options: Partial<RegistryEnvironment>,
): Promise<OpenedHost & { readonly close: () => void }> {
  const environment = registryEnvironment(options)
  const anywhere = { domain, path: 'x' }
  const host = pushHost(anywhere, await hostsFor(anywhere, new ConfigFiles(environment)))
  const http = senderFor(host, environment.variables)
  try {
    const send = compose(http.send, withHeaders(host.headers, host.bases))
    return { base: await findEndpoint(host.bases, send), send, close: http.close }
  } catch (error) {
    http.close()
    throw error
  }
}

function senderFor(host: RegistryHost, variables: RegistryEnvironment['variables'] | undefined): ReturnType<typeof httpSender> {
  return httpSender({
    origins: host.bases.map(({ origin }) => origin),
    trust: host.trust,
    ...(variables === undefined ? {} : { variables }),
    ...(host.connectTimeoutMs === undefined ? {} : { connectTimeoutMs: host.connectTimeoutMs }),
  })
}

/** Images are pushed to one place: the first that takes them. */
function pushHost({ domain, path }: Reference, hosts: readonly RegistryHost[]): RegistryHost {
  const host = hosts.find(({ capabilities }) => capabilities.has('push'))
  if (host === undefined)
    throw new StrataError(
      'unsupported',
      'STRATA_NO_HOST',
      `Cannot push to "${domain}/${path}": no host that is configured for it takes images`,
    )
  return { ...host, capabilities: CAPABILITIES, isMirror: false }
}

class ConnectedHost implements OpenableHost {
  readonly host: RegistryHost
  readonly #options: ConnectHostsOptions
  readonly #http: ReturnType<typeof httpSender>
  #opened: Promise<OpenedHost> | undefined

  constructor(host: RegistryHost, options: ConnectHostsOptions) {
    this.host = host
    this.#options = options
    this.#http = senderFor(host, options.variables)
  }

  readonly open = (): Promise<OpenedHost> => {
    const opened = (this.#opened ??= this.#open())
    // What is not there now may be there later.
    opened.catch(() => {
      this.#opened = undefined
    })
    return opened
  }

  close(): void {
    this.#http.close()
  }

  async #open(): Promise<OpenedHost> {
    const { name, bases, path, headers } = this.host
    const { configDirectory, access, rateLimit, signal, via } = this.#options
    const own = { ...headers, ...(via === undefined ? {} : { via }) }
    const send = compose(this.#http.send, withHeaders(own, bases), withSignal(signal))
    const base = await findEndpoint(bases, send)
    const credentials = await findCredentials(configDirectory, name, { path })
    const scope = `repository:${path}:${access === 'push' ? 'pull,push' : 'pull'}`
    const { origin } = base
    const wraps: readonly Wrap[] = [
      ...(credentials === undefined ? [withHelperNamed(origin, () => missingHelper(configDirectory, name))] : []),
      withRedirects,
      withAuthorization({ origin, scope, credentials, signal }),
      ...(rateLimit === undefined ? [] : [withRateLimit(rateLimit)]),
    ]
    return { base, send: compose(send, ...wraps) }
  }
}

/** Says which credential helper is not installed, where a registry wants credentials and there are none. */
function withHelperNamed(origin: string, findMissing: () => Promise<string | undefined>): Wrap {
  return next => async request => {
    let response: HttpResponse | undefined
    try {
      response = await next(request)
      if (response.status !== 401 || request.url.origin !== origin) return response
    } catch (error) {
      if (!isStrataError(error) || error.code !== 'STRATA_UNAUTHORIZED') throw error
    }
    const missing = await findMissing()
    if (missing === undefined && response !== undefined) return response
    await response?.body.discard()
    throw unauthorized(origin, missing)
  }
}

/** Has a signal end the requests that have none of their own. */
function withSignal(signal: AbortSignal | undefined): Wrap {
  return next => request => next(signal === undefined || request.signal !== undefined ? request : { ...request, signal })
}

/** Adds headers to the requests to some addresses. */
function withHeaders(headers: Readonly<Record<string, string>>, addresses: readonly URL[]): Wrap {
  const origins = new Set(addresses.map(({ origin }) => origin))
  return next => request => next(origins.has(request.url.origin) ? { ...request, headers: { ...headers, ...request.headers } } : request)
}
