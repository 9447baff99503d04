import { BlockList, isIP } from 'node:net'
import { StrataError } from '../base/index.ts'
import { isLoopback } from './loopback.ts'

type Variables = Readonly<Record<string, string | undefined>>

/**
 * The proxy that a URL is reached through, from `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` or the same in lower case, read
 * as docker and podman read them: pkg.go.dev/golang.org/x/net/http/httpproxy#Config. This machine is never behind one.
 *
 * @throws StrataError STRATA_PROXY_INVALID, without the proxy's address, which may have a password in it
 */
export function proxyFor(url: URL, variables: Variables): URL | undefined {
  const name = url.protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY'
  const text = variable(variables, name)
  if (text === '' || isLoopback(url.hostname) || isExcepted(url, variable(variables, 'NO_PROXY'))) return undefined
  const address = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`
  const proxy = URL.canParse(address) ? new URL(address) : undefined
  if (proxy === undefined || (proxy.protocol !== 'http:' && proxy.protocol !== 'https:') || proxy.hostname === '') {
    throw new StrataError('invalidArgument', 'STRATA_PROXY_INVALID', `Cannot use the proxy of $${name}: it is no http or https URL`)
  }
  if (!isDecodable(proxy.username) || !isDecodable(proxy.password)) {
    const state = 'its user name or password has a % that is no escape'
    throw new StrataError('invalidArgument', 'STRATA_PROXY_INVALID', `Cannot use the proxy of $${name}: ${state}`, {
      hint: 'Write % as %25 there.',
    })
  }
  return proxy
}

function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text)
    return true
  } catch {
    return false
  }
}

const variable = (variables: Variables, name: string): string => (variables[name] || variables[name.toLowerCase()] || '').trim()

function isExcepted(url: URL, exceptions: string): boolean {
  const host = url.hostname.replace(/^\[|\]$/g, '').toLowerCase()
  const port = url.port === '' ? (url.protocol === 'https:' ? '443' : '80') : url.port
  return exceptions
    .split(',')
    .map(entry => entry.trim().toLowerCase())
    .some(entry => entry !== '' && matches(entry, { host, port }))
}

function matches(entry: string, { host, port }: { readonly host: string; readonly port: string }): boolean {
  if (entry === '*') return true
  const [, network = '', bits = ''] = /^([0-9a-f.:]+)\/(\d{1,3})$/.exec(entry) ?? []
  if (isIP(network) !== 0) return isIP(host) !== 0 && inNetwork(host, network, Number(bits))
  const [, name = entry, wantedPort] = isIP(entry) === 6 ? [] : (/^(.*?)(?::(\d+))?$/.exec(entry) ?? [])
  if (wantedPort !== undefined && wantedPort !== port) return false
  const bare = name.replace(/^\[|\]$/g, '')
  // What begins with a dot means only what is below it.
  const suffix = bare.startsWith('*.') ? bare.slice(1) : bare
  if (suffix.startsWith('.')) return host.endsWith(suffix)
  return host === suffix || (isIP(suffix) === 0 && host.endsWith(`.${suffix}`))
}

function inNetwork(address: string, network: string, bits: number): boolean {
  const version = isIP(network)
  if (bits > (version === 4 ? 32 : 128)) return false
  const list = new BlockList()
  list.addSubnet(network, bits, version === 4 ? 'ipv4' : 'ipv6')
  return list.check(address, isIP(address) === 4 ? 'ipv4' : 'ipv6')
}
