import { type Durability, StrataError } from '../base/index.ts'
import { type NetworkRecord, type Networks, openNetworks } from '../network/index.ts'
import type { NetworkListOptions } from './engine.ts'
import type { NetworkInspect } from './system.ts'

/** The networks are the machine's, and root's: for anybody else there are none. */
const isRoot = (): boolean => process.geteuid?.() === 0

/** The networks that match every list that is given. */
export async function listNetworks(options: NetworkListOptions, durability: Durability): Promise<readonly NetworkInspect[]> {
  if (!isRoot()) return []
  using networks = openNetworks({ durability })
  const matching = (await networks.list()).filter(
    ({ name, id, driver }) =>
      (options.names ?? [name]).some(part => name.includes(part)) &&
      (options.ids ?? [id]).some(prefix => id.startsWith(prefix)) &&
      (options.drivers ?? [driver]).includes(driver) &&
      // No network here has labels yet, so none has those that are asked for.
      (options.labels ?? []).length === 0,
  )
  return await Promise.all(matching.map(network => inspectionOf(networks, network)))
}

export async function inspectNetwork(nameOrId: string, durability: Durability): Promise<NetworkInspect> {
  using networks = openNetworks({ durability })
  const network = isRoot() ? await networks.get(nameOrId) : undefined
  if (network === undefined) {
    throw new StrataError('notFound', 'STRATA_NO_SUCH_NETWORK', `Cannot find network "${nameOrId}": no such network`)
  }
  return await inspectionOf(networks, network)
}

async function inspectionOf(networks: Networks, network: NetworkRecord): Promise<NetworkInspect> {
  const endpoints = await networks.endpoints(network.id)
  return {
    Name: network.name,
    Id: network.id,
    Created: network.createdAt.toISOString(),
    Scope: 'local',
    Driver: network.driver,
    EnableIPv4: true,
    EnableIPv6: false,
    IPAM: {
      Driver: 'default',
      Options: null,
      Config: network.bridge === undefined ? [] : [{ Subnet: network.bridge.subnet, Gateway: network.bridge.gateway }],
    },
    Internal: false,
    Attachable: false,
    Ingress: false,
    ConfigFrom: { Network: '' },
    ConfigOnly: false,
    Containers: Object.fromEntries(
      endpoints.map(({ id, containerId, containerName, macAddress, address, prefixLength }) => [
        containerId,
        { Name: containerName, EndpointID: id, MacAddress: macAddress, IPv4Address: `${address}/${prefixLength}`, IPv6Address: '' },
      ]),
    ),
    Options: {},
    Labels: {},
  }
}
