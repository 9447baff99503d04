import { isIP, isIPv6 } from 'node:net'
import { hostname, networkInterfaces } from 'node:os'
import { StrataError } from '../base/index.ts'

/** Where a server listens. */
export interface ListenAddress {
  /** An IP address, without brackets. */
  readonly host: string
  /** 0 for any that is free. */
  readonly port: number
}

/** Where docker's registry is by habit, and nobody else can reach it. */
export const DEFAULT_LISTEN = '127.0.0.1:5000'

/**
 * Reads `ADDR:PORT` or `:PORT` (on 127.0.0.1). A host name is no address: what it stands for may change.
 *
 * @throws StrataError STRATA_LISTEN_ADDRESS_INVALID
 */
export function parseListenAddress(text: string): ListenAddress {
  const [, bracketed, plain, digits = ''] = /^(?:\[([^\]]*)\]|([^:[\]]*)):(\d{1,5})$/.exec(text) ?? []
  const host = (bracketed ?? plain) || '127.0.0.1'
  const port = Number(digits)
  if (digits === '' || port > 65_535 || isIP(host) === 0 || isIPv6(host) !== (bracketed !== undefined)) {
    throw new StrataError(
      'invalidArgument',
      'STRATA_LISTEN_ADDRESS_INVALID',
      `Cannot listen on ${JSON.stringify(text.slice(0, 100))}: expected an IP address and a port`,
      { hint: 'Write 127.0.0.1:5000, [::1]:5000, 0.0.0.0:5000 for every network, or :0 for any free port.' },
    )
  }
  return { host, port }
}

/** `127.0.0.1:5000`, `[::1]:5000`. */
export function formatAddress({ host, port }: ListenAddress): string {
  return `${isIPv6(host) ? `[${host}]` : host}:${port}`
}

/** Whether only this machine can reach an address. */
export function isLoopbackAddress(host: string): boolean {
  return host === '::1' || host.startsWith('127.')
}

/**
 * The names of registries that mean a server which listens there, the one that it calls itself by first. An address that
 * stands for all of a machine's is nobody's name: there it is 127.0.0.1.
 */
export function ownNames({ host, port }: ListenAddress): readonly [string, ...string[]] {
  const isEvery = host === '0.0.0.0' || host === '::'
  const self = formatAddress({ host: isEvery ? '127.0.0.1' : host, port })
  const here = isEvery || isLoopbackAddress(host) ? ['127.0.0.1', 'localhost', '[::1]'].map(name => `${name}:${port}`) : []
  return [self, ...here.filter(name => name !== self)]
}

/** Ends of names that nobody can register: RFC 6761, RFC 6762, RFC 8375, and the ICANN Board's resolution of 29 July 2024 (.internal). */
const LOCAL_DOMAINS = ['.localhost', '.local', '.home.arpa', '.internal']

/**
 * Whether a `Host` is one that a stranger's domain cannot be: an address, a name of one word, one of a domain that is
 * nobody's, or this machine's own name.
 */
export function isLocalName(hostAndPort: string): boolean {
  const name = hostAndPort
    .toLowerCase()
    .replace(/:\d+$/, '')
    .replace(/^\[(.*)\]$/, '$1')
  if (isIP(name) !== 0 || /^[a-z0-9_-]+$/.test(name)) return true
  return LOCAL_DOMAINS.some(domain => name.endsWith(domain)) || name === hostname().toLowerCase()
}

/** Whether the name of a registry, `host:port`, means a server which listens there; what the names of a DNS mean nobody knows here. */
export function isOwnName(name: string, listening: ListenAddress): boolean {
  if (ownNames(listening).includes(name.toLowerCase())) return true
  if (listening.host !== '0.0.0.0' && listening.host !== '::') return false
  const addresses = Object.values(networkInterfaces()).flatMap(each => each ?? [])
  return addresses.some(({ address }) => formatAddress({ host: address, port: listening.port }) === name)
}
