import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { type Endpoint, hostnameFile, hostsFile, parseNetworkMode, readHostResolvConf, resolvConfFile } from '../network/index.ts'
import type { BundleMount } from '../runtime/index.ts'
import type { Installation } from './installation.ts'
import type { ContainerRecord } from './record.ts'

const NAMES = ['hosts', 'hostname', 'resolv.conf'] as const

/**
 * Writes the container's own /etc/hosts, /etc/hostname and /etc/resolv.conf, and gives them as mounts:
 * so they are no part of the container layer. A place that the user mounts on stays the user's.
 */
export async function provideEtc(
  installation: Installation,
  record: ContainerRecord,
  endpoint: Endpoint | undefined,
): Promise<readonly BundleMount[]> {
  const { id, definition } = record
  const { options, mounts } = definition
  const taken = new Set(mounts.map(({ target }) => target))
  const owner = etcOwner(installation, record)
  if (owner === id) await writeEtc(installation, record, endpoint)
  return NAMES.filter(name => !taken.has(`/etc/${name}`)).map((name): BundleMount => ({
    kind: 'bind',
    source: installation.paths.etc(owner, name),
    target: `/etc/${name}`,
    readonly: options.readOnly === true,
    nonRecursive: true,
  }))
}

/** Whose files a container has: those of the container whose network it joins. */
export function etcOwner(installation: Installation, { id, definition }: ContainerRecord): string {
  const mode = parseNetworkMode(definition.options.network ?? '')
  const other = mode.kind === 'container' ? installation.records.get(mode.container) : undefined
  return other === undefined ? id : etcOwner(installation, other)
}

async function writeEtc(installation: Installation, record: ContainerRecord, endpoint: Endpoint | undefined): Promise<void> {
  const { id } = record
  mkdirSync(installation.paths.directory(id), { recursive: true, mode: 0o710 })
  for (const [name, text] of Object.entries(await etcTexts(record, endpoint))) {
    const path = installation.paths.etc(id, name as (typeof NAMES)[number])
    writeFileSync(path, text)
    // For every user of the container, whatever the umask is.
    chmodSync(path, 0o644)
  }
}

async function etcTexts({ definition }: ContainerRecord, endpoint: Endpoint | undefined): Promise<Record<(typeof NAMES)[number], string>> {
  const { options, config } = definition
  const isHost = parseNetworkMode(options.network ?? '').kind === 'host'
  const [hostResolvConf, hostHosts] = await Promise.all([readHostResolvConf(), isHost ? readFile('/etc/hosts', 'utf8') : undefined])
  const { dnsServers, dnsSearch, dnsOptions, extraHosts } = options
  return {
    hostname: hostnameFile(config.Hostname),
    hosts: hostsFile({
      hostname: config.Hostname,
      domainName: config.Domainname,
      ...(endpoint === undefined ? {} : { address: endpoint.address, hostGateway: endpoint.gateway }),
      ...(isHost ? { hostGateway: '127.0.0.1' } : {}),
      ...(extraHosts === undefined ? {} : { extraHosts }),
      ...(hostHosts === undefined ? {} : { hostFile: hostHosts }),
    }),
    'resolv.conf': resolvConfFile(hostResolvConf, {
      ...(dnsServers === undefined ? {} : { servers: dnsServers }),
      ...(dnsSearch === undefined ? {} : { search: dnsSearch }),
      ...(dnsOptions === undefined ? {} : { options: dnsOptions }),
      keepLoopback: isHost,
    }),
  }
}
