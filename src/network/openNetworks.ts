import { createHash, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  currentProcess,
  DURABLE,
  type Durability,
  isAlive,
  isStrataError,
  KeyedMutex,
  makeDirectory,
  StrataError,
  systemError,
} from '../base/index.ts'
import { setLinkAddress } from '../host/index.ts'
import { openMetadata } from '../metadata/index.ts'
import { parseIpv4 } from './ipv4.ts'
import { namespacesInUse } from './namespacesInUse.ts'
import { createNamespace, isNamespace, removeNamespace } from './namespace.ts'
import { findNetavark, netavarkConfig, runNetavark } from './netavark.ts'
import type { ConnectRequest, Endpoint, NetworkRecord, Networks, NetworksOptions } from './networks.ts'
import { isFreeOnHost } from './portProbe.ts'
import type { PublishedPort } from './publish.ts'
import { type EndpointRecord, NetworkRecords } from './records.ts'
import { findNetwork, macAddressOf, portKey, reserve, settleBridge } from './reservation.ts'
import { defaultMtu } from './subnets.ts'

const DEFAULT_DIRECTORY = '/run/strata/network'
/** Not in a directory of one's own: the firewall is the machine's. */
const NETAVARK_LOCK = join(DEFAULT_DIRECTORY, 'netavark.lock')
const NETAVARK_STATE = join(DEFAULT_DIRECTORY, 'netavark')
/** How often somebody who waits for another process's work looks again. */
const POLL_MS = 20
/** From connect to the runtime's first process in the namespace: far longer than it takes. */
const START_GRACE_MS = 60_000

/**
 * Opens the networks of this machine. Costs nothing until the first call that needs records.
 *
 * Layout of the directory:
 *
 *     records.db       networks, endpoints, ports
 *     netns/<id>       the network namespace of a container
 *     netavark.lock    one netavark at a time
 *
 * Order of locks: the container's mutex, then the records' write lock or netavark's; never both.
 */
export function openNetworks(options: NetworksOptions = {}): Networks {
  return new MachineNetworks(options.directory ?? DEFAULT_DIRECTORY, options.durability ?? DURABLE)
}

class MachineNetworks implements Networks {
  readonly #directory: string
  readonly #durability: Durability
  readonly #perContainer = new KeyedMutex()
  #records: Promise<NetworkRecords> | undefined

  constructor(directory: string, durability: Durability) {
    this.#directory = directory
    this.#durability = durability
  }

  #open(): Promise<NetworkRecords> {
    this.#records ??= makeDirectory(this.#directory).then(
      () =>
        new NetworkRecords(
          openMetadata(join(this.#directory, 'records.db'), this.#durability),
          this.#directory,
          firstChoice(this.#directory),
        ),
    )
    return this.#records
  }

  async list(): Promise<readonly NetworkRecord[]> {
    const records = await this.#open()
    return records.transaction(() =>
      records.networks().map(network => (network.driver === 'bridge' ? settleBridge(records, network) : network)),
    )
  }

  async get(nameOrId: string): Promise<NetworkRecord | undefined> {
    return findNetwork(await this.list(), nameOrId)
  }

  async endpoint(containerId: string): Promise<Endpoint | undefined> {
    return (await this.#open()).endpoint(containerId)?.endpoint
  }

  async endpoints(networkId?: string): Promise<readonly Endpoint[]> {
    return (await this.#open()).endpoints(networkId).map(({ endpoint }) => endpoint)
  }

  async connect(request: ConnectRequest): Promise<Endpoint> {
    try {
      return await this.#connect(request)
    } catch (error) {
      const taken = isStrataError(error, 'conflict') || isStrataError(error, 'resourceExhausted')
      // What only the dead hold is free. Not inside #connect: two that hold their own mutex must not wait for each other's.
      if (!taken || (await this.collect()).length === 0) throw error
    }
    return this.#connect(request)
  }

  #connect(request: ConnectRequest): Promise<Endpoint> {
    return this.#perContainer.run(requireContainerId(request.containerId), async () => {
      await findNetavark()
      const records = await this.#open()
      const earlier = records.endpoint(request.containerId)
      if (earlier !== undefined) await this.#clearEarlier(earlier)
      const endpoint = await reserveFree(records, request)
      try {
        await createNamespace(endpoint.namespacePath)
        await this.#netavark('setup', endpoint.namespacePath, endpoint)
        keepGatewayAddress(records.networks().find(({ id }) => id === endpoint.networkId)!)
        records.setConnected(endpoint.containerId)
      } catch (error) {
        // When this fails too, the record stays, and the next collection tries again; the first error says why.
        await this.#disconnect(endpoint.containerId).catch(() => undefined)
        throw error
      }
      return endpoint
    })
  }

  /** What a crash left of the container's last life goes; a living endpoint is not taken away. */
  async #clearEarlier(earlier: EndpointRecord): Promise<void> {
    const { containerId, containerName } = earlier.endpoint
    if (earlier.state === 'connected' && !isDead(earlier, namespacesInUse())) {
      throw new StrataError('conflict', 'STRATA_ALREADY_CONNECTED', `Cannot connect container "${containerName}": it is connected already`)
    }
    await this.#disconnect(containerId)
  }

  async disconnect(containerId: string): Promise<void> {
    await this.#perContainer.run(requireContainerId(containerId), () => this.#disconnect(containerId))
  }

  async #disconnect(containerId: string): Promise<void> {
    const records = await this.#open()
    let endpoint = records.claimRemoval(containerId, currentProcess())
    while (endpoint === 'busy') {
      await sleep(POLL_MS)
      endpoint = records.claimRemoval(containerId, currentProcess())
    }
    if (endpoint === undefined) {
      // After a reboot, or when the records were lost, the namespace's file may still be there.
      await removeNamespace(records.namespacePath(containerId))
      return
    }
    await this.#takeDown(endpoint)
    records.remove(containerId)
  }

  async #takeDown(endpoint: Endpoint): Promise<void> {
    const path = endpoint.namespacePath
    let done = false
    if (await isNamespace(path)) {
      done = await this.#netavark('teardown', path, endpoint).then(
        () => true,
        () => false,
      )
    }
    await removeNamespace(path)
    if (!done) await this.#takeDownRemains(endpoint)
  }

  /**
   * netavark stops its teardown where the interface is missing, and leaves the firewall's rules. So a
   * broken connection is made whole first, in a namespace for this only: set-up keeps what is there
   * and adds what is not, and after it a teardown finds everything.
   */
  async #takeDownRemains(endpoint: Endpoint): Promise<void> {
    const scratch = join(this.#directory, 'netns', `repair-${randomBytes(6).toString('hex')}`)
    try {
      await createNamespace(scratch)
      await this.#netavark('setup', scratch, endpoint)
      await this.#netavark('teardown', scratch, endpoint)
    } finally {
      await removeNamespace(scratch)
    }
  }

  async #netavark(command: 'setup' | 'teardown', namespacePath: string, endpoint: Endpoint): Promise<void> {
    const network = findNetwork((await this.#open()).networks(), endpoint.networkId)!
    const config = netavarkConfig(endpoint, network, defaultMtu())
    await makeDirectory(dirname(NETAVARK_LOCK))
    await runNetavark({ command, namespacePath, config, lockPath: NETAVARK_LOCK, stateDirectory: NETAVARK_STATE })
  }

  async collect(): Promise<readonly string[]> {
    const records = await this.#open()
    const inUse = namespacesInUse()
    const dead = records.endpoints().filter(record => isDead(record, inUse))
    for (const { endpoint } of dead) await this.disconnect(endpoint.containerId)
    return dead.map(({ endpoint }) => endpoint.containerId)
  }

  close(): void {
    const records = this.#records
    this.#records = undefined
    void records?.then(
      opened => opened.close(),
      () => undefined,
    )
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

/**
 * Nobody is in its namespace, and nobody is about to be: the process that works on it, or that
 * connected it a moment ago, is gone as well.
 */
function isDead({ endpoint, state, owner }: EndpointRecord, inUse: (namespacePath: string) => boolean): boolean {
  if (inUse(endpoint.namespacePath)) return false
  if (!isAlive(owner)) return true
  return state === 'connected' && Date.now() - endpoint.connectedAt.getTime() > START_GRACE_MS
}

/**
 * Fixes the MAC address of the bridge, which netavark leaves to the kernel: that would take another
 * with each container that comes or goes, and the others would talk to a gateway that is not there
 * until their ARP tables are renewed.
 */
function keepGatewayAddress({ bridge }: NetworkRecord): void {
  const { interfaceName, gateway } = bridge!
  const macAddress = macAddressOf(parseIpv4(gateway)!)
  const current = readFileSync(`/sys/class/net/${interfaceName}/address`, 'utf8').trim()
  if (current === macAddress) return
  try {
    setLinkAddress(interfaceName, macAddress)
  } catch (error) {
    throw systemError(`set the address of "${interfaceName}"`, error)
  }
}

/** Reserves an address and ports; a port that a program of the host listens on is not given. */
async function reserveFree(records: NetworkRecords, request: ConnectRequest): Promise<Endpoint> {
  const busy = new Set<string>()
  for (;;) {
    const endpoint = reserve(records, request, busy)
    try {
      const index = await firstBusyPort(endpoint.ports)
      if (index === -1) return endpoint
      const port = endpoint.ports[index]!
      const { hostPort, hostPortEnd } = request.publish![index]!
      if (hostPort !== 0 && hostPortEnd === undefined) throw portInUse(port)
      busy.add(portKey(port))
    } catch (error) {
      records.remove(endpoint.containerId)
      throw error
    }
    records.remove(endpoint.containerId)
  }
}

async function firstBusyPort(ports: readonly PublishedPort[]): Promise<number> {
  for (const [index, port] of ports.entries()) {
    if (!(await isFreeOnHost(port))) return index
  }
  return -1
}

/** Docker's words for a port that a program has which is not a container. */
function portInUse({ hostAddress, hostPort, containerPort, protocol }: PublishedPort): StrataError {
  return new StrataError(
    'conflict',
    'STRATA_PORT_ALLOCATED',
    `Cannot publish port ${containerPort}/${protocol}: failed to bind host port for ${hostAddress}:${hostPort}: address already in use`,
    { hint: 'Another program of this machine listens there: choose another host port.' },
  )
}

/**
 * Records in other directories do not know of each other. So that they do not choose the same
 * interface and subnet in the moment before the kernel shows it, each begins elsewhere.
 */
function firstChoice(directory: string): number {
  if (directory === DEFAULT_DIRECTORY) return 0
  return 1 + createHash('sha256').update(directory).digest().readUInt16LE()
}

/** The id becomes the name of a file. */
function requireContainerId(id: string): string {
  if (/^[0-9a-zA-Z][\w.-]{0,127}$/.test(id)) return id
  throw new StrataError('invalidArgument', 'STRATA_INVALID_CONTAINER_ID', `Cannot connect container "${id}": that is not an id`)
}
