import { randomBytes } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { isIPv4 } from 'node:net'
import { currentProcess, StrataError } from '../base/index.ts'
import { broadcastOf, contains, formatIpv4, formatSubnet, type Ipv4, parseIpv4, parseSubnet } from './ipv4.ts'
import type { ConnectRequest, Endpoint, NetworkRecord } from './networks.ts'
import { ephemeralPorts } from './portProbe.ts'
import type { PublishedPort, PublishRequest } from './publish.ts'
import type { NetworkRecords } from './records.ts'
import { chooseSubnet, occupiedSubnets } from './subnets.ts'

/** A host port that another program was found to use: `tcp 0.0.0.0 8080`. */
export const portKey = ({ protocol, hostAddress, hostPort }: PublishedPort): string => `${protocol} ${hostAddress} ${hostPort}`

/**
 * Records an endpoint with an address and host ports that nobody else has, in one transaction:
 * of any number of processes no two get the same.
 *
 * @param busy keys of ports that programs of the host use; a port of a range or of the engine's choice avoids them
 */
export function reserve(records: NetworkRecords, request: ConnectRequest, busy: ReadonlySet<string>): Endpoint {
  return records.transaction(() => {
    const network = bridgeNetwork(records, request.network ?? 'bridge')
    const { subnet, gateway } = network.bridge
    const address = chooseAddress(records, network, request.address)
    const endpoint: Endpoint = {
      id: randomBytes(32).toString('hex'),
      containerId: request.containerId,
      containerName: request.containerName,
      networkId: network.id,
      networkName: network.name,
      namespacePath: records.namespacePath(request.containerId),
      address: formatIpv4(address),
      prefixLength: parseSubnet(subnet)!.prefixLength,
      gateway,
      macAddress: request.macAddress === undefined ? macAddressOf(address) : parseMacAddress(request.macAddress),
      ports: choosePorts(records, request.publish ?? [], busy),
      connectedAt: new Date(),
    }
    records.add(endpoint, currentProcess())
    return endpoint
  })
}

type BridgeRecord = NetworkRecord & Required<Pick<NetworkRecord, 'bridge'>>

/** The network with this name, id or unique prefix of an id. */
export function findNetwork(networks: readonly NetworkRecord[], nameOrId: string): NetworkRecord | undefined {
  const exact = networks.find(({ id, name }) => name === nameOrId || id === nameOrId)
  if (exact !== undefined || !/^[0-9a-f]+$/.test(nameOrId)) return exact
  const matches = networks.filter(({ id }) => id.startsWith(nameOrId))
  return matches.length === 1 ? matches[0] : undefined
}

function bridgeNetwork(records: NetworkRecords, nameOrId: string): BridgeRecord {
  const network = findNetwork(records.networks(), nameOrId)
  if (network === undefined) {
    throw new StrataError('notFound', 'STRATA_NO_SUCH_NETWORK', `Cannot connect to network "${nameOrId}": no such network`)
  }
  if (network.driver !== 'bridge') {
    throw new StrataError('invalidArgument', 'STRATA_NOT_A_BRIDGE', `Cannot connect to network "${nameOrId}": it has no addresses to give`)
  }
  return settleBridge(records, network)
}

/**
 * Says where a bridge is. While nobody is on it, that is looked at anew: since last time a VPN may
 * have come up where it was.
 */
export function settleBridge(records: NetworkRecords, network: NetworkRecord): BridgeRecord {
  const { bridge } = network
  if (bridge !== undefined && records.addresses(network.id).length > 0) return { ...network, bridge }
  const existing = new Set(readdirSync('/sys/class/net'))
  const interfaceName = bridge?.interfaceName ?? firstFreeInterface(existing, records.firstChoice)
  const preferred = bridge === undefined ? undefined : parseSubnet(bridge.subnet)
  const subnet = chooseSubnet(occupiedSubnets(interfaceName), records.firstChoice, preferred)
  const settled = { interfaceName, subnet: formatSubnet(subnet), gateway: formatIpv4(subnet.base + 1) }
  if (settled.subnet !== bridge?.subnet) records.setBridge(network.id, settled)
  return { ...network, bridge: settled }
}

function firstFreeInterface(existing: ReadonlySet<string>, firstChoice: number): string {
  let index = firstChoice
  while (existing.has(`strata${index}`)) index += 1
  return `strata${index}`
}

/** The lowest free address, or the wanted one. The first of a subnet is the network's, the second the gateway's, the last is for all. */
function chooseAddress(records: NetworkRecords, network: BridgeRecord, wanted: string | undefined): Ipv4 {
  const subnet = parseSubnet(network.bridge.subnet)!
  const first = subnet.base + 2
  const last = broadcastOf(subnet) - 1
  const taken = records.addresses(network.id)
  if (wanted === undefined) {
    const free = lowestFree(taken, first)
    if (free <= last) return free
    throw new StrataError(
      'resourceExhausted',
      'STRATA_SUBNET_FULL',
      `Cannot connect to network "${network.name}": all addresses of ${network.bridge.subnet} are taken`,
    )
  }
  const address = parseIpv4(wanted)
  if (address === undefined || !contains(subnet, address) || address < first || address > last) {
    throw new StrataError(
      'invalidArgument',
      'STRATA_ADDRESS_OUTSIDE',
      `Cannot use address "${wanted}": it is not a host address of ${network.bridge.subnet}`,
    )
  }
  if (taken.includes(address)) {
    throw new StrataError('conflict', 'STRATA_ADDRESS_IN_USE', `Cannot use address "${wanted}": Address already in use`)
  }
  return address
}

/** @param taken in ascending order */
export function lowestFree(taken: readonly Ipv4[], first: Ipv4): Ipv4 {
  let free = first
  for (const address of taken) {
    if (address === free) free += 1
    else if (address > free) break
  }
  return free
}

/** Locally administered (the 2 of 02) and different for each address, so that the neighbours' ARP tables stay true when an address is used again. */
export function macAddressOf(address: Ipv4): string {
  const octets = formatIpv4(address).split('.').map(Number)
  return [0x02, 0x42, ...octets].map(octet => octet.toString(16).padStart(2, '0')).join(':')
}

function parseMacAddress(text: string): string {
  const lower = text.toLowerCase().replaceAll('-', ':')
  // The lowest bit of the first octet makes an address one of a group: no interface may have it.
  if (/^[0-9a-f][02468ace](?::[0-9a-f]{2}){5}$/.test(lower)) return lower
  throw new StrataError(
    'invalidArgument',
    'STRATA_INVALID_MAC_ADDRESS',
    `Cannot use MAC address "${text}": expected six octets of a single station`,
  )
}

/** Ports in the order of the requests; those with a fixed number are dealt with first, so that no free choice takes them. */
function choosePorts(records: NetworkRecords, requests: readonly PublishRequest[], busy: ReadonlySet<string>): PublishedPort[] {
  const chosen = new Map<PublishRequest, PublishedPort>()
  const own = new Set<string>()
  const isFree = (port: PublishedPort): boolean => !busy.has(portKey(port)) && !own.has(portKey(port)) && !records.isPublished(port)
  const fixedFirst = [...requests].sort((a, b) => Number(hasChoice(a)) - Number(hasChoice(b)))
  for (const request of fixedFirst) {
    const port = choosePort(request, isFree)
    own.add(portKey(port))
    chosen.set(request, port)
  }
  return requests.map(request => chosen.get(request)!)
}

const hasChoice = (request: PublishRequest): boolean => request.hostPort === 0 || request.hostPortEnd !== undefined

function choosePort(request: PublishRequest, isFree: (port: PublishedPort) => boolean): PublishedPort {
  const { containerPort, protocol } = request
  const hostAddress = request.hostAddress === '' ? '0.0.0.0' : request.hostAddress
  if (!isIPv4(hostAddress)) {
    throw new StrataError(
      'unsupported',
      'STRATA_PUBLISH_IPV6',
      `Cannot publish port ${containerPort}/${protocol} on "${hostAddress}": this network has IPv4 addresses only`,
    )
  }
  const range = request.hostPort === 0 ? ephemeralPorts() : { start: request.hostPort, end: request.hostPortEnd ?? request.hostPort }
  for (let hostPort = range.start; hostPort <= range.end; hostPort += 1) {
    const port = { hostAddress, hostPort, containerPort, protocol }
    if (isFree(port)) return port
  }
  if (!hasChoice(request)) throw portAllocated({ hostAddress, hostPort: request.hostPort, containerPort, protocol })
  throw new StrataError(
    'resourceExhausted',
    'STRATA_NO_FREE_PORT',
    `Cannot publish port ${containerPort}/${protocol}: all ports from ${range.start} to ${range.end} of ${hostAddress} are allocated`,
  )
}

/** Docker's words for a port that another container has. */
function portAllocated({ hostAddress, hostPort, containerPort, protocol }: PublishedPort): StrataError {
  return new StrataError(
    'conflict',
    'STRATA_PORT_ALLOCATED',
    `Cannot publish port ${containerPort}/${protocol}: Bind for ${hostAddress}:${hostPort} failed: port is already allocated`,
    { hint: 'Choose another host port, or stop the container that has it (see `strata ps`).' },
  )
}
