import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import { StrataError } from '../../base/index.ts'
import { parseReference, quoted, type Reference } from '../../oci/index.ts'
import { isLoopback } from '../loopback.ts'
import type { ConfigFiles } from './configFiles.ts'
import { configInvalid } from './configTable.ts'
import type { TomlHost } from './hostsToml.ts'
import { findTable, mirrorsFor, nameAt, type Endpoint, type RegistryTable } from './registriesConf.ts'
import { CAPABILITIES, type Capability, type RegistryHost } from './registryHost.ts'

/** Where images of docker.io really are. */
const HUB = { domain: 'docker.io', address: 'registry-1.docker.io' } as const
const MIRROR: ReadonlySet<Capability> = new Set<Capability>(['pull', 'resolve'])

/**
 * The hosts that a repository can be had from, in the order that they are asked in: its mirrors, and the registry itself
 * last. Where reads go is decided by the first of registries.conf, hosts.toml and daemon.json that says something of
 * it; whether a host may be insecure, and by which certificates it is known, is gathered from all of them (ADR 0008).
 *
 * Rejects with `permissionDenied` (STRATA_REGISTRY_BLOCKED) for what registries.conf blocks, and with `invalidArgument`
 * (STRATA_CONFIG_INVALID) for a file that cannot be understood: what it forbids would be forgotten.
 */
export async function hostsFor(reference: Reference, files: ConfigFiles): Promise<readonly RegistryHost[]> {
  const table = findTable(await files.registriesConf(), reference)
  if (table?.blocked === true) throw blocked(reference, table)
  const { domain, path } = reference
  const own = await directHost({ name: domain, path, insecure: table?.insecure === true }, files)
  if (table !== undefined && says(table)) return [...(await routed(reference, table, files)), { ...own, capabilities: new Set(['push']) }]
  const toml = await files.hostsToml(domain)
  if (toml !== undefined) {
    const { hosts, server, unnamedServer } = toml
    const mirrors = await Promise.all(hosts.map(host => tomlHost(host, { reference, isMirror: true }, files)))
    const itself = server === undefined ? withSettings(own, unnamedServer) : await tomlHost(server, { reference, isMirror: false }, files)
    return [...mirrors, itself]
  }
  const { mirrors } = domain === HUB.domain ? await files.daemonJson() : { mirrors: [] }
  return [...(await Promise.all(mirrors.map(base => urlHost(base, { path, capabilities: MIRROR }, files)))), own]
}

/** Whether a table says where images are, not only how their registry is spoken to. */
function says({ mirrors, location, prefix }: RegistryTable): boolean {
  return mirrors.length > 0 || (location !== undefined && location !== prefix)
}

/** The mirrors of a table, and the place that it gives for the registry itself. */
async function routed(reference: Reference, table: RegistryTable, files: ConfigFiles): Promise<readonly RegistryHost[]> {
  const at = (endpoint: Endpoint): Promise<RegistryHost> => {
    const { domain, path } = placeOf(endpoint, table, reference)
    return directHost({ name: domain, path, insecure: endpoint.insecure }, files)
  }
  const mirrors = await Promise.all(mirrorsFor(table, reference).map(at))
  return [...mirrors.map(host => ({ ...host, capabilities: MIRROR, isMirror: true })), { ...(await at(table)), capabilities: MIRROR }]
}

function placeOf(endpoint: Endpoint, table: RegistryTable, reference: Reference): Reference {
  const name = nameAt(endpoint, table, reference)
  const first = name.slice(0, name.indexOf('/'))
  const place = parseReference(name)
  if (!/[.:]/.test(first) && first !== 'localhost')
    throw configInvalid(table.file, `location ${quoted(endpoint.location!)} has no host name`)
  if (place.tag !== reference.tag || place.digest !== reference.digest)
    throw configInvalid(table.file, `location ${quoted(endpoint.location!)} has a tag or a digest, which is not supported`)
  return place
}

interface DirectHost {
  /** `host[:port]` as references have it. */
  readonly name: string
  readonly path: string
  readonly insecure: boolean
}

/** A registry by its name: https, and plain HTTP on this machine and where a configuration says so. distribution-spec "Endpoints" */
async function directHost({ name, path, insecure }: DirectHost, files: ConfigFiles): Promise<RegistryHost> {
  const address = name === HUB.domain ? HUB.address : name
  const secure = apiUrl(`https://${address}/v2/`, name)
  const skipVerify = insecure || (await isInsecure(name, secure.hostname, files))
  const mayBePlain = skipVerify || isLoopback(secure.hostname)
  return {
    name,
    bases: mayBePlain ? [secure, apiUrl(`http://${address}/v2/`, name)] : [secure],
    path,
    capabilities: CAPABILITIES,
    trust: { ...(await files.certificates(name)), skipVerify },
    headers: {},
    namespace: undefined,
    isMirror: false,
    connectTimeoutMs: undefined,
  }
}

/** A mirror by the URL of its API, whose scheme counts. */
async function urlHost(
  base: URL,
  { path, capabilities }: Pick<RegistryHost, 'path' | 'capabilities'>,
  files: ConfigFiles,
): Promise<RegistryHost> {
  const name = base.host === HUB.address ? HUB.domain : base.host
  return {
    name,
    bases: [base.host === HUB.domain ? new URL(base.pathname, `https://${HUB.address}`) : base],
    path,
    capabilities,
    trust: { ...(await files.certificates(name)), skipVerify: await isInsecure(base.host, base.hostname, files) },
    headers: {},
    namespace: undefined,
    isMirror: true,
    connectTimeoutMs: undefined,
  }
}

async function tomlHost(
  host: TomlHost,
  { reference, isMirror }: { readonly reference: Reference; readonly isMirror: boolean },
  files: ConfigFiles,
): Promise<RegistryHost> {
  const { path, domain } = reference
  const found = await urlHost(host.base, { path, capabilities: host.capabilities }, files)
  return { ...withSettings(found, host), isMirror, namespace: found.name === domain ? undefined : domain }
}

/** What hosts.toml says of a host comes before what a directory of certificates says. */
function withSettings(host: RegistryHost, settings: Omit<TomlHost, 'base'>): RegistryHost {
  const { authorities, clients, skipVerify, headers, capabilities, connectTimeoutMs } = settings
  return {
    ...host,
    capabilities,
    headers,
    connectTimeoutMs,
    trust: {
      authorities: authorities.length > 0 ? authorities : host.trust.authorities,
      clients: clients.length > 0 ? clients : host.trust.clients,
      skipVerify: skipVerify || host.trust.skipVerify,
    },
  }
}

/** Whether daemon.json lists a host, or a network that an address of it is in. */
async function isInsecure(host: string, hostname: string, files: ConfigFiles): Promise<boolean> {
  const { insecure } = await files.daemonJson()
  if (insecure.hasHost(host)) return true
  if (!insecure.hasNetworks) return false
  const bare = hostname.replace(/^\[|\]$/g, '')
  if (isIP(bare) !== 0) return insecure.hasAddress(bare)
  // A name without an address fails when it is connected to, and says so.
  const addresses = await lookup(bare, { all: true }).catch(() => [])
  return addresses.some(({ address }) => insecure.hasAddress(address))
}

function apiUrl(text: string, name: string): URL {
  if (URL.canParse(text)) return new URL(text)
  throw new StrataError('invalidArgument', 'STRATA_REGISTRY_ADDRESS', `Cannot use registry ${quoted(name)}: it is no address of a host`)
}

function blocked(reference: Reference, { prefix, file }: RegistryTable): StrataError {
  return new StrataError(
    'permissionDenied',
    'STRATA_REGISTRY_BLOCKED',
    `Cannot use "${reference.domain}/${reference.path}": ${quoted(prefix)} is blocked`,
    { hint: `"${file}" says so.` },
  )
}
