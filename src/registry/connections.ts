import http, { type Agent } from 'node:http'
import type { AgentOptions } from 'node:https'
import { StrataError } from '../base/index.ts'
import { proxyFor } from './proxy.ts'
import { withReadBuffers } from './readBuffers.ts'
import { isUnknownAuthority, PUBLIC_TRUST, readTrust, type Trust } from './trust.ts'

export interface ConnectionOptions {
  /**
   * The origins of the host that `trust` is about. Others, which it redirects to, are verified, and never see a client certificate of
   * ours: another port may be another's.
   */
  readonly origins?: readonly string[]
  readonly trust?: Trust
  /** Where `HTTPS_PROXY` and its like are. Default the environment. */
  readonly variables?: Readonly<Record<string, string | undefined>>
  readonly connectTimeoutMs?: number
  readonly stallTimeoutMs?: number
}

/** A way to the host of a URL. */
export interface Connection {
  readonly agent: Agent
  readonly open: typeof http.request
  /** Who takes us there, if anybody. */
  readonly proxy: URL | undefined
  readonly connectTimeoutMs: number
  readonly stallTimeoutMs: number
  /** What to do about a failure: true when another connection may go better now. */
  readonly mayHelp: (cause: unknown) => boolean
}

const CONNECT_TIMEOUT_MS = 10_000
/** A server that sends nothing for this long is taken for dead. */
const STALL_TIMEOUT_MS = 60_000

/** Which authorities are asked: to read those of the system, or many at once, takes 40 ms that most hosts do without. */
type Authorities = 'few' | 'all'

/** Pooled connections, of one kind for the host that is trusted in its own way, and of another for all others. */
export class Connections {
  readonly #options: ConnectionOptions
  readonly #agents = new Map<string, Promise<Agent>>()
  #authorities: Authorities = 'few'

  constructor(options: ConnectionOptions = {}) {
    this.#options = options
  }

  /** How a URL is reached. TLS is loaded by the first that needs it: its certificates take long. */
  async to(url: URL): Promise<Connection> {
    const { variables = process.env, connectTimeoutMs = CONNECT_TIMEOUT_MS, stallTimeoutMs = STALL_TIMEOUT_MS } = this.#options
    const isSecure = url.protocol === 'https:'
    const isOwn = this.#options.origins?.includes(url.origin) === true
    const proxy = proxyFor(url, variables)
    const authorities = this.#authorities
    const key = isSecure ? `https ${isOwn} ${authorities} ${proxy?.href}` : `http ${proxy?.href}`
    const agent = this.#agents.get(key) ?? (isSecure ? this.#secureAgent({ isOwn, authorities, proxy }) : plainAgent(proxy))
    this.#agents.set(key, agent)
    return {
      agent: await agent,
      open: isSecure ? (await import('node:https')).request : http.request,
      proxy,
      connectTimeoutMs,
      stallTimeoutMs,
      mayHelp: cause => {
        if (authorities === 'all' || !isUnknownAuthority(cause)) return false
        this.#authorities = 'all'
        return true
      },
    }
  }

  close(): void {
    for (const agent of this.#agents.values())
      agent.then(
        open => open.destroy(),
        () => undefined,
      )
  }

  async #secureAgent({ isOwn, authorities, proxy }: SecureAgentOptions): Promise<Agent> {
    const trust = this.#options.trust ?? PUBLIC_TRUST
    const options: AgentOptions = {
      keepAlive: true,
      ...(await secureContext(isOwn ? trust : { ...trust, clients: [] }, authorities)),
      rejectUnauthorized: !(isOwn && trust.skipVerify),
    }
    if (proxy === undefined) return withReadBuffers(new (await import('node:https')).Agent(options))
    const { TunnelAgent } = await import('./tunnel.ts')
    return new TunnelAgent(proxy, this.#options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS, options)
  }
}

async function plainAgent(proxy: URL | undefined): Promise<Agent> {
  return withReadBuffers(new http.Agent({ keepAlive: true, ...(proxy === undefined ? {} : { proxyEnv: { HTTP_PROXY: proxy.href } }) }))
}

interface SecureAgentOptions {
  readonly isOwn: boolean
  readonly authorities: Authorities
  readonly proxy: URL | undefined
}

/** Made once for all connections. The few authorities are the host's own where it has some, else those that Node brings. */
async function secureContext(trust: Trust, asked: Authorities): Promise<Pick<AgentOptions, 'secureContext'>> {
  const { authorities, certificates, keys } = await readTrust(trust)
  if (asked === 'few' && authorities.length + certificates.length === 0) return {}
  const { createSecureContext, getCACertificates } = await import('node:tls')
  const known = asked === 'all' ? [...getCACertificates('default'), ...getCACertificates('system')] : []
  try {
    return {
      secureContext: createSecureContext({
        ...(known.length + authorities.length === 0 ? {} : { ca: [...authorities, ...known] }),
        ...(certificates.length === 0 ? {} : { cert: [...certificates], key: [...keys] }),
      }),
    }
  } catch (cause) {
    const paths = [...trust.authorities, ...trust.clients.flatMap(({ certificate, key }) => [certificate, key])]
    throw new StrataError(
      'invalidArgument',
      'STRATA_CERTIFICATE_INVALID',
      `Cannot use the certificates "${[...new Set(paths)].join('", "')}": they cannot be read, or a key is not that of its certificate`,
      { cause },
    )
  }
}
