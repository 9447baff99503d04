import http, { type IncomingMessage } from 'node:http'
import https, { type AgentOptions } from 'node:https'
import { isIP } from 'node:net'
import type { Duplex } from 'node:stream'
import { connect, type ConnectionOptions, getCACertificates } from 'node:tls'
import { ProxyRefusal } from './proxyRefusal.ts'

type Connected = (error: Error | null, stream: Duplex) => void

/**
 * TLS through a proxy that is asked to CONNECT. RFC 9110 section 9.3.6
 *
 * Node's own Agents can do that, too (`proxyEnv`), but keep a connection that hangs in the handshake behind the proxy
 * for themselves, so that nobody can end it.
 */
export class TunnelAgent extends https.Agent {
  readonly #proxy: URL
  readonly #timeoutMs: number

  /** @param proxy http or https @param timeoutMs until the proxy has let us through */
  constructor(proxy: URL, timeoutMs: number, options: AgentOptions) {
    super(options)
    this.#proxy = proxy
    this.#timeoutMs = timeoutMs
  }

  override createConnection(options: ConnectionOptions, callback?: Connected): undefined {
    const { hostname, protocol, port, username, password } = this.#proxy
    const [name = '', targetPort] = [options.host, options.port]
    const target = `${name.includes(':') ? `[${name}]` : name}:${targetPort}`
    const credentials = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`
    const isSecure = protocol === 'https:'
    const asked = (isSecure ? https : http).request({
      agent: false,
      // The proxy shows a certificate of its own; by itself Node expects one for the Host of the request.
      ...(isSecure ? { servername: isIP(withoutBrackets(hostname)) === 0 ? hostname : '', ca: everyAuthority() } : {}),
      method: 'CONNECT',
      hostname: withoutBrackets(hostname),
      port,
      path: target,
      headers: {
        host: target,
        ...(credentials === ':' ? {} : { 'proxy-authorization': `Basic ${Buffer.from(credentials).toString('base64')}` }),
      },
    })
    const fail = (error: Error): void => callback?.(error, undefined as unknown as Duplex)
    const timer = setTimeout(() => asked.destroy(new Error(`it does not answer within ${this.#timeoutMs / 1000} s`)), this.#timeoutMs)
    asked.on('error', cause => fail(isSecure ? new Error('the connection to it failed', { cause }) : cause))
    // However it ends, somebody waits for the connection. The agent hears the first that it is told.
    asked.once('close', () => {
      clearTimeout(timer)
      fail(new Error('it closed the connection'))
    })
    // A proxy that refuses answers as to any other request, or as to this one.
    asked.once('response', (response: IncomingMessage) => {
      response.destroy()
      fail(refusal(response))
    })
    asked.once('connect', (response: IncomingMessage, socket: Duplex) => {
      clearTimeout(timer)
      if (response.statusCode === 200) callback?.(null, connect({ ...options, socket }))
      else {
        socket.destroy()
        fail(refusal(response))
      }
    })
    asked.end()
    return undefined
  }
}

const withoutBrackets = (hostname: string): string => hostname.replace(/^\[|\]$/g, '')

/** Those that Node brings, those of the environment and those of the system. */
const everyAuthority = (): string[] => [...getCACertificates('default'), ...getCACertificates('system')]

const refusal = ({ statusCode = 0 }: IncomingMessage): Error => new ProxyRefusal(statusCode)
