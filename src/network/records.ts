import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { currentBoot, isAlive, type ProcessIdentity } from '../base/index.ts'
import type { Metadata } from '../metadata/index.ts'
import { formatIpv4, type Ipv4, parseIpv4, parseSubnet } from './ipv4.ts'
import type { Endpoint, NetworkRecord } from './networks.ts'
import type { Protocol, PublishedPort } from './publish.ts'

/** Idempotent by construction: endpoints of an earlier boot are dropped when the records are opened. */
const MIGRATIONS: readonly string[] = [
  `CREATE TABLE networks (
     id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, driver TEXT NOT NULL,
     interface TEXT, subnet TEXT, created_at INTEGER NOT NULL
   ) STRICT;
   CREATE TABLE endpoints (
     container_id TEXT PRIMARY KEY, id TEXT NOT NULL, container_name TEXT NOT NULL,
     network_id TEXT NOT NULL REFERENCES networks (id), address INTEGER NOT NULL, mac TEXT NOT NULL,
     state TEXT NOT NULL, owner_pid INTEGER NOT NULL, owner_started TEXT NOT NULL,
     boot TEXT NOT NULL, connected_at INTEGER NOT NULL,
     UNIQUE (network_id, address)
   ) STRICT;
   CREATE TABLE ports (
     protocol TEXT NOT NULL, host_port INTEGER NOT NULL, host_address TEXT NOT NULL,
     container_id TEXT NOT NULL REFERENCES endpoints (container_id) ON DELETE CASCADE,
     container_port INTEGER NOT NULL, position INTEGER NOT NULL,
     PRIMARY KEY (protocol, host_port, host_address)
   ) STRICT;`,
]

/** Docker's three networks; only the bridge has anything to record. */
const PREDEFINED = [
  { name: 'bridge', driver: 'bridge' },
  { name: 'host', driver: 'host' },
  { name: 'none', driver: 'null' },
] as const

/**
 * What happens with an endpoint now: `connecting` and `removing` are work of its owner, a process;
 * when that died, whoever comes next takes the work over.
 */
export type EndpointState = 'connecting' | 'connected' | 'removing'

/** An endpoint and who works on it. */
export interface EndpointRecord {
  readonly endpoint: Endpoint
  readonly state: EndpointState
  readonly owner: ProcessIdentity
}

interface NetworkRow {
  readonly id: string
  readonly name: string
  readonly driver: NetworkRecord['driver']
  readonly interface: string | null
  readonly subnet: string | null
  readonly created_at: number
}

interface EndpointRow {
  readonly container_id: string
  readonly id: string
  readonly container_name: string
  readonly network_id: string
  readonly address: number
  readonly mac: string
  readonly state: EndpointState
  readonly owner_pid: number
  readonly owner_started: string
  readonly connected_at: number
  readonly network_name: string
  readonly subnet: string
}

interface PortRow {
  readonly protocol: Protocol
  readonly host_address: string
  readonly host_port: number
  readonly container_port: number
}

/** The tables of networks, endpoints and ports; every method is one statement or runs inside the caller's transaction. */
export class NetworkRecords {
  readonly #metadata: Metadata
  readonly #directory: string

  /** Where the choice of an interface's name and of a subnet begins. */
  readonly firstChoice: number

  /** @param directory where the namespaces of endpoints are kept, in `netns/` */
  constructor(metadata: Metadata, directory: string, firstChoice: number) {
    this.#metadata = metadata
    this.#directory = directory
    this.firstChoice = firstChoice
    metadata.migrate('network', MIGRATIONS)
    metadata.transaction(() => {
      for (const { name, driver } of PREDEFINED) {
        const id = createHash('sha256').update(`strata network ${name}`).digest('hex')
        metadata.run('INSERT INTO networks VALUES (?, ?, ?, NULL, NULL, ?) ON CONFLICT DO NOTHING', id, name, driver, Date.now())
      }
      // The kernel's side of these ended with that boot.
      metadata.run('DELETE FROM endpoints WHERE boot <> ?', currentBoot())
    })
  }

  transaction<Result>(work: () => Result): Result {
    return this.#metadata.transaction(work)
  }

  networks(): NetworkRecord[] {
    return this.#metadata.all<NetworkRow>('SELECT * FROM networks ORDER BY name').map(networkOf)
  }

  setBridge(networkId: string, bridge: { readonly interfaceName: string; readonly subnet: string }): void {
    this.#metadata.run('UPDATE networks SET interface = ?, subnet = ? WHERE id = ?', bridge.interfaceName, bridge.subnet, networkId)
  }

  endpoint(containerId: string): EndpointRecord | undefined {
    return this.#endpoints('WHERE container_id = ?', containerId)[0]
  }

  endpoints(networkId?: string): EndpointRecord[] {
    return networkId === undefined ? this.#endpoints('') : this.#endpoints('WHERE network_id = ?', networkId)
  }

  #endpoints(where: string, ...parameters: readonly string[]): EndpointRecord[] {
    const rows = this.#metadata.all<EndpointRow>(
      `SELECT endpoints.*, networks.name AS network_name, networks.subnet FROM endpoints
       JOIN networks ON networks.id = network_id ${where} ORDER BY network_id, address`,
      ...parameters,
    )
    return rows.map(row => this.#recordOf(row))
  }

  #recordOf(row: EndpointRow): EndpointRecord {
    const subnet = parseSubnet(row.subnet)!
    const ports = this.#metadata.all<PortRow>('SELECT * FROM ports WHERE container_id = ? ORDER BY position', row.container_id)
    const endpoint: Endpoint = {
      id: row.id,
      containerId: row.container_id,
      containerName: row.container_name,
      networkId: row.network_id,
      networkName: row.network_name,
      namespacePath: this.namespacePath(row.container_id),
      address: formatIpv4(row.address),
      prefixLength: subnet.prefixLength,
      gateway: formatIpv4(subnet.base + 1),
      macAddress: row.mac,
      ports: ports.map(port => ({
        hostAddress: port.host_address,
        hostPort: port.host_port,
        containerPort: port.container_port,
        protocol: port.protocol,
      })),
      connectedAt: new Date(row.connected_at),
    }
    return { endpoint, state: row.state, owner: { pid: row.owner_pid, startedAt: row.owner_started, bootId: currentBoot() } }
  }

  namespacePath(containerId: string): string {
    return join(this.#directory, 'netns', containerId)
  }

  /** The addresses of a network that are taken, in order. */
  addresses(networkId: string): Ipv4[] {
    const rows = this.#metadata.all<{ address: number }>('SELECT address FROM endpoints WHERE network_id = ? ORDER BY address', networkId)
    return rows.map(({ address }) => address)
  }

  /** Records an endpoint as `connecting`, the work of `owner`. */
  add(endpoint: Endpoint, owner: ProcessIdentity): void {
    this.#metadata.run(
      "INSERT INTO endpoints VALUES (?, ?, ?, ?, ?, ?, 'connecting', ?, ?, ?, ?)",
      endpoint.containerId,
      endpoint.id,
      endpoint.containerName,
      endpoint.networkId,
      parseIpv4(endpoint.address)!,
      endpoint.macAddress,
      owner.pid,
      owner.startedAt,
      currentBoot(),
      endpoint.connectedAt.getTime(),
    )
    for (const [position, port] of endpoint.ports.entries()) {
      this.#metadata.run(
        'INSERT INTO ports VALUES (?, ?, ?, ?, ?, ?)',
        port.protocol,
        port.hostPort,
        port.hostAddress,
        endpoint.containerId,
        port.containerPort,
        position,
      )
    }
  }

  /** Whether another endpoint publishes the port on this address, or one of the two means every address. */
  isPublished({ protocol, hostPort, hostAddress }: PublishedPort): boolean {
    const row = this.#metadata.get(
      `SELECT 1 FROM ports WHERE protocol = ? AND host_port = ? AND (host_address IN (?, '0.0.0.0') OR ? = '0.0.0.0')`,
      protocol,
      hostPort,
      hostAddress,
      hostAddress,
    )
    return row !== undefined
  }

  setConnected(containerId: string): void {
    this.#metadata.run("UPDATE endpoints SET state = 'connected' WHERE container_id = ?", containerId)
  }

  /**
   * Gives the endpoint to `owner` to remove, unless another living process works on it.
   *
   * @returns undefined where there is no endpoint
   */
  claimRemoval(containerId: string, owner: ProcessIdentity): Endpoint | 'busy' | undefined {
    return this.transaction(() => {
      const record = this.endpoint(containerId)
      if (record === undefined) return undefined
      const foreign = record.owner.pid !== owner.pid || record.owner.startedAt !== owner.startedAt
      if (record.state !== 'connected' && foreign && isAlive(record.owner)) return 'busy'
      this.#metadata.run(
        "UPDATE endpoints SET state = 'removing', owner_pid = ?, owner_started = ? WHERE container_id = ?",
        owner.pid,
        owner.startedAt,
        containerId,
      )
      return record.endpoint
    })
  }

  remove(containerId: string): void {
    this.#metadata.run('DELETE FROM endpoints WHERE container_id = ?', containerId)
  }

  close(): void {
    this.#metadata.close()
  }
}

function networkOf(row: NetworkRow): NetworkRecord {
  const base = { id: row.id, name: row.name, driver: row.driver, createdAt: new Date(row.created_at) }
  if (row.interface === null || row.subnet === null) return base
  const gateway = formatIpv4(parseSubnet(row.subnet)!.base + 1)
  return { ...base, bridge: { interfaceName: row.interface, subnet: row.subnet, gateway } }
}
