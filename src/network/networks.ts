import type { Durability } from '../base/index.ts'
import type { PublishedPort, PublishRequest } from './publish.ts'

/** A network that containers can be on. `bridge`, `host` and `none` are there from the start, as docker's are. */
export interface NetworkRecord {
  /** 64 hexadecimal digits; of a predefined network the same on every machine. */
  readonly id: string
  readonly name: string
  readonly driver: 'bridge' | 'host' | 'null'
  /** The host's end of a bridge, and what containers on it share. */
  readonly bridge?: { readonly interfaceName: string; readonly subnet: string; readonly gateway: string }
  readonly createdAt: Date
}

/** A container's place on a bridge network. */
export interface Endpoint {
  /** 64 hexadecimal digits, new for each connection. */
  readonly id: string
  readonly containerId: string
  readonly containerName: string
  readonly networkId: string
  readonly networkName: string
  /** The network namespace that is kept for the container: a file that the runtime joins by path. */
  readonly namespacePath: string
  readonly address: string
  readonly prefixLength: number
  readonly gateway: string
  /** Lower case, colons. */
  readonly macAddress: string
  readonly ports: readonly PublishedPort[]
  readonly connectedAt: Date
}

export interface ConnectRequest {
  readonly containerId: string
  readonly containerName: string
  /** The name or id of a bridge network; default `bridge`. */
  readonly network?: string
  readonly publish?: readonly PublishRequest[]
  /** Inside the network's subnet; default the lowest free one. */
  readonly address?: string
  /** Default: made from the address, so that it is unique on the network. */
  readonly macAddress?: string
}

/**
 * The networks of this machine and who is on them.
 *
 * Addresses, host ports and firewall rules belong to the machine, not to one root: the records live
 * in a run-time directory that all roots share, and end with a reboot as the interfaces do. Any
 * number of processes use it at once.
 *
 * A container is connected before its process is created and disconnected after it ended; the time
 * between is the life of an Endpoint. Whatever crashes between, `disconnect` cleans up, and an
 * endpoint without any process in its namespace loses its address and ports to the next who needs
 * them. Containers with the network `host` or `none` have no endpoint and need no call at all.
 */
export interface Networks extends Disposable {
  /** All networks; chooses the subnet of `bridge` when nobody has yet. */
  list(): Promise<readonly NetworkRecord[]>
  /** The network with this name, id or unique prefix of an id. */
  get(nameOrId: string): Promise<NetworkRecord | undefined>
  /**
   * Makes the network namespace of a container, and its interface `eth0` in it, and publishes ports.
   * When it rejects, nothing of that is left.
   *
   * Rejects with `notFound` (STRATA_NO_SUCH_NETWORK), `conflict` (STRATA_PORT_ALLOCATED,
   * STRATA_ADDRESS_IN_USE, STRATA_ALREADY_CONNECTED), `invalidArgument` for an address outside the
   * subnet or a host or null network, `resourceExhausted` when the subnet or the range of ports is
   * full, and `unavailable` (STRATA_NETAVARK_MISSING, STRATA_NETAVARK_FAILED, STRATA_NO_SUBNET).
   */
  connect(request: ConnectRequest): Promise<Endpoint>
  /**
   * Removes interface, published ports, namespace and address of a container. Does nothing for a
   * container that is not connected; waits for another process that is connecting or disconnecting it.
   */
  disconnect(containerId: string): Promise<void>
  /** The endpoint of a connected container. */
  endpoint(containerId: string): Promise<Endpoint | undefined>
  /** All endpoints, or those of one network (its id), in the order of their addresses. */
  endpoints(networkId?: string): Promise<readonly Endpoint[]>
  /** Disconnects every container that has no process left, and gives their ids. */
  collect(): Promise<readonly string[]>
  /** Closes the records. Connections stay. */
  close(): void
}

export interface NetworksOptions {
  /** One for the whole machine, whatever the root: default `/run/strata/network`. Made (0700) at first use. */
  readonly directory?: string
  /** Default: what is acknowledged survives power loss, where the directory does. */
  readonly durability?: Durability
}
