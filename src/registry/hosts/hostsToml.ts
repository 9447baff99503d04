import { isAbsolute, join, dirname } from 'node:path'
import type { ClientCertificate } from '../trust.ts'
import { ConfigTable } from './configTable.ts'
import { CAPABILITIES, type Capability } from './registryHost.ts'

/*
 * containerd's certs.d/<host>/hosts.toml: containerd docs/hosts.md.
 */

/** One host of a hosts.toml. */
export interface TomlHost {
  /** Where its API is, ending in `/`. */
  readonly base: URL
  readonly capabilities: ReadonlySet<Capability>
  /** Paths of PEM files. */
  readonly authorities: readonly string[]
  readonly clients: readonly ClientCertificate[]
  readonly skipVerify: boolean
  readonly headers: Readonly<Record<string, string>>
  readonly connectTimeoutMs: number | undefined
}

/** What a file says of one registry: the hosts in the order that they are asked in, and the registry itself where it is named. */
export interface HostsToml {
  readonly hosts: readonly TomlHost[]
  readonly server: TomlHost | undefined
  /** What holds for the registry itself where the file does not name it. */
  readonly unnamedServer: Omit<TomlHost, 'base'>
}

/** The content of a file. @param document its parsed TOML @param file its path, which paths in it are relative to @throws StrataError STRATA_CONFIG_INVALID */
export function hostsTomlOf(document: unknown, file: string): HostsToml {
  const root = ConfigTable.of(document, file)
  const server = root.text('server')
  const hosts = root.table('host')
  const unnamedServer = settingsOf(root, file)
  return {
    hosts:
      hosts?.names.map(name => {
        const table = hosts.table(name)!
        return { base: baseOf(name, table, () => hosts.invalid(name, 'is no http or https URL')), ...settingsOf(table, file) }
      }) ?? [],
    server:
      server === undefined || server === ''
        ? undefined
        : { base: baseOf(server, root, () => root.invalid('server', 'is no http or https URL')), ...unnamedServer },
    unnamedServer,
  }
}

/** Paths end in `/v2`, unless the file takes care of them. */
function baseOf(text: string, table: ConfigTable, invalid: () => Error): URL {
  const address = text.includes('://') ? text : `https://${text}`
  const url = URL.canParse(address) ? new URL(address) : undefined
  if (
    url === undefined ||
    !/^https?:$/.test(url.protocol) ||
    url.username !== '' ||
    url.password !== '' ||
    url.search !== '' ||
    url.hash !== ''
  )
    throw invalid()
  const path = url.pathname.replace(/\/+$/, '')
  const asIs = path.endsWith('/v2') || table.flag('override_path') === true
  url.pathname = `${asIs ? path : `${path}/v2`}/`
  return url
}

function settingsOf(table: ConfigTable, file: string): Omit<TomlHost, 'base'> {
  const resolve = (path: string): string => (isAbsolute(path) ? path : join(dirname(file), path))
  const timeout = table.text('dial_timeout')
  const connectTimeoutMs = timeout === undefined ? undefined : durationMs(timeout)
  if (timeout !== undefined && connectTimeoutMs === undefined) throw table.invalid('dial_timeout', 'is no duration such as "30s"')
  return {
    capabilities: capabilitiesIn(table),
    authorities: table.textOrTexts('ca').map(resolve),
    clients: clientsIn(table).map(({ certificate, key }) => ({ certificate: resolve(certificate), key: resolve(key) })),
    skipVerify: table.flag('skip_verify') ?? false,
    headers: headersIn(table),
    connectTimeoutMs,
  }
}

/** A host that says nothing of them has all. */
function capabilitiesIn(table: ConfigTable): ReadonlySet<Capability> {
  if (!table.has('capabilities')) return CAPABILITIES
  return new Set(
    table.texts('capabilities').map(name => {
      const capability = name.toLowerCase()
      if (CAPABILITIES.has(capability as Capability)) return capability as Capability
      throw table.invalid('capabilities', 'has something else than "pull", "resolve" and "push"')
    }),
  )
}

/** A path, a list of paths, or a list of pairs of paths; who has no key of its own has it in the same file. */
function clientsIn(table: ConfigTable): readonly ClientCertificate[] {
  if (!table.has('client')) return []
  const invalid = (): Error => table.invalid('client', 'is no path, and no list of paths or of pairs of paths')
  const pair = (entry: unknown): ClientCertificate => {
    const [certificate, key, ...rest] = (Array.isArray(entry) ? entry : [entry]) as readonly unknown[]
    if (typeof certificate !== 'string' || certificate === '' || rest.length > 0) throw invalid()
    if (key !== undefined && typeof key !== 'string') throw invalid()
    return { certificate, key: key === undefined || key === '' ? certificate : key }
  }
  try {
    return table.list('client').map(pair)
  } catch {
    return [pair(table.text('client'))]
  }
}

/** RFC 9110 section 5.1: names are tokens. */
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/

function headersIn(table: ConfigTable): Readonly<Record<string, string>> {
  const header = table.table('header')
  const headers: Record<string, string> = {}
  for (const name of header?.names ?? []) {
    const value = header!.textOrTexts(name).join(', ')
    if (!HEADER_NAME.test(name) || /[^\x20-\x7e]/.test(value))
      throw table.invalid('header', 'has a name or a value that no header can have')
    headers[name.toLowerCase()] = value
  }
  return headers
}

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }

/** Go's durations, as far as they are useful here: `500ms`, `1m30s`. pkg.go.dev/time#ParseDuration */
function durationMs(text: string): number | undefined {
  if (!/^(?:\d+(?:\.\d+)?(?:ms|s|m|h))+$/.test(text)) return undefined
  return [...text.matchAll(/([\d.]+)(ms|s|m|h)/g)].reduce((sum, [, count, unit]) => sum + Number(count) * UNITS_MS[unit!]!, 0)
}
