import { readFile } from 'node:fs/promises'
import { isIP, isIPv4 } from 'node:net'
import { errnoOf, StrataError } from '../base/index.ts'

export interface HostsFileOptions {
  readonly hostname: string
  readonly domainName?: string
  /** The container's own address; absent with `host` and `none`. */
  readonly address?: string
  /** `name:address`, also `name=address`; the address `host-gateway` is `hostGateway`. */
  readonly extraHosts?: readonly string[]
  readonly hostGateway?: string
  /** With `host`: the text of the host's own file, which replaces the standard lines. */
  readonly hostFile?: string
}

/** What every container knows without being told, as docker writes it. */
const STANDARD_HOSTS = `127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
`

/**
 * The text of a container's /etc/hosts.
 *
 * Throws `invalidArgument` (STRATA_INVALID_EXTRA_HOST) for an extra host that is not `name:address`,
 * or that asks for `host-gateway` where there is none.
 */
export function hostsFile(options: HostsFileOptions): string {
  const { hostname, domainName = '', address, extraHosts = [], hostFile } = options
  const lines = extraHosts.map(extra => {
    const { name, target } = parseExtraHost(extra, options.hostGateway)
    return `${target}\t${name}\n`
  })
  if (address !== undefined) lines.push(`${address}\t${domainName === '' ? '' : `${hostname}.${domainName} `}${hostname}\n`)
  return (hostFile === undefined ? STANDARD_HOSTS : endLine(hostFile)) + lines.join('')
}

function parseExtraHost(extra: string, gateway: string | undefined): { readonly name: string; readonly target: string } {
  // An IPv6 address has colons itself, so the name ends at the first separator.
  const [, name = '', given = ''] = /^([^\s:=]+)[:=](\S+)$/.exec(extra) ?? []
  const target = given === 'host-gateway' ? gateway : given.replace(/^\[(.*)\]$/, '$1')
  if (target === undefined) {
    throw new StrataError(
      'invalidArgument',
      'STRATA_INVALID_EXTRA_HOST',
      `Cannot add host "${extra}": this network has no address of the host`,
    )
  }
  if (name === '' || isIP(target) === 0) {
    throw new StrataError('invalidArgument', 'STRATA_INVALID_EXTRA_HOST', `Cannot add host "${extra}": expected name:address`)
  }
  return { name, target }
}

/** The text of a container's /etc/hostname. */
export function hostnameFile(hostname: string): string {
  return `${hostname}\n`
}

export interface ResolvConfOptions {
  /** Replaces the host's name servers. */
  readonly servers?: readonly string[]
  /** Replaces the host's search domains; `.` alone means none. */
  readonly search?: readonly string[]
  /** Replaces the host's options. */
  readonly options?: readonly string[]
  /** With `host`, the host's loopback is the container's: its name servers there stay. */
  readonly keepLoopback?: boolean
}

/** What docker falls back to when the host's name servers are all on its loopback. */
const PUBLIC_SERVERS = ['8.8.8.8', '8.8.4.4']

/**
 * The text of a container's /etc/resolv.conf, made from the host's.
 *
 * Name servers on the host's loopback, and IPv6 ones, can not be reached from a bridge and are left
 * out; when none remains, public ones take their place.
 */
export function resolvConfFile(hostText: string, options: ResolvConfOptions = {}): string {
  const host = parseResolvConf(hostText)
  const reachable = options.keepLoopback === true ? host.servers : host.servers.filter(isReachableFromBridge)
  const fallback = options.keepLoopback === true ? [] : PUBLIC_SERVERS
  const servers = orElse(options.servers, reachable.length > 0 ? reachable : fallback)
  const search = orElse(options.search, host.search).filter(domain => domain !== '.')
  const settings = orElse(options.options, host.options)
  return [
    ...servers.map(server => `nameserver ${server}\n`),
    ...(search.length > 0 ? [`search ${search.join(' ')}\n`] : []),
    ...(settings.length > 0 ? [`options ${settings.join(' ')}\n`] : []),
  ].join('')
}

function orElse(given: readonly string[] | undefined, otherwise: readonly string[]): readonly string[] {
  return given === undefined || given.length === 0 ? otherwise : given
}

interface ResolvConf {
  readonly servers: readonly string[]
  readonly search: readonly string[]
  readonly options: readonly string[]
}

/** Reads resolv.conf(5): every `nameserver`, the last `search` or `domain`, all `options`. */
function parseResolvConf(text: string): ResolvConf {
  const servers: string[] = []
  const options: string[] = []
  let search: readonly string[] = []
  for (const line of text.split('\n')) {
    // A comment starts the line: `#` inside one belongs to the value, as in glibc.
    if (/^[#;]/.test(line)) continue
    const [keyword, ...values] = line.trim().split(/\s+/)
    if (keyword === 'nameserver' && values[0] !== undefined) servers.push(values[0])
    else if (keyword === 'search' || keyword === 'domain') search = values
    else if (keyword === 'options') options.push(...values)
  }
  return { servers, search, options }
}

function isReachableFromBridge(server: string): boolean {
  return isIPv4(server) && !server.startsWith('127.') && server !== '0.0.0.0'
}

/** systemd-resolved's stub; what it asks itself is in the other file. */
const RESOLVED_STUB = '127.0.0.53'
const RESOLVED_UPSTREAM = '/run/systemd/resolve/resolv.conf'

/** The host's resolver configuration; behind systemd-resolved's stub the real one; '' where there is none. */
export async function readHostResolvConf(): Promise<string> {
  const text = await readText('/etc/resolv.conf')
  const { servers } = parseResolvConf(text)
  if (servers.length !== 1 || servers[0] !== RESOLVED_STUB) return text
  const upstream = await readText(RESOLVED_UPSTREAM)
  return upstream === '' ? text : upstream
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return ''
    throw error
  }
}

function endLine(text: string): string {
  return text === '' || text.endsWith('\n') ? text : `${text}\n`
}
