import { findProgram, runProgram, StrataError } from '../base/index.ts'
import type { Endpoint, NetworkRecord } from './networks.ts'
import type { PublishedPort } from './publish.ts'

/** What docker calls the first interface of a container. */
const CONTAINER_INTERFACE = 'eth0'
/** Where iptables or nft is, also for a user whose PATH has no sbin; first, because netavark looks for them some twenty times a call. */
const SYSTEM_PATH = '/usr/sbin:/usr/bin:/sbin:/bin'

export interface NetavarkRequest {
  readonly command: 'setup' | 'teardown'
  readonly namespacePath: string
  readonly config: string
  /** The same file for everybody on this machine: netavark changes its one firewall in many steps and has no lock of its own. */
  readonly lockPath: string
  /** Where netavark 1.14 and later note which rules are theirs, and refuse to work without; the same for everybody on this machine too. */
  readonly stateDirectory: string
}

/** Fails as every call that needs netavark would, before anything is made. */
export async function findNetavark(): Promise<string> {
  return (
    (await findProgram('netavark')) ??
    missing('netavark', 'apt-get install netavark (or use --network host or --network none, which do without)')
  )
}

/**
 * Runs netavark once it is alone on this machine. Both commands reject with `unavailable`
 * (STRATA_NETAVARK_FAILED) when it fails; a failed setup leaves what it made so far.
 */
export async function runNetavark({ command, namespacePath, config, lockPath, stateDirectory }: NetavarkRequest): Promise<void> {
  const netavark = await findNetavark()
  // The lock is held by the program and its children, not by us: it outlives our death until they are done.
  const flock = (await findProgram('flock')) ?? missing('flock', 'apt-get install util-linux')
  // netavark 1.14 takes nftables by default, whose program Debian only recommends; every version can do iptables.
  const env = { NETAVARK_FW: 'iptables', PATH: `${SYSTEM_PATH}:${process.env['PATH'] ?? ''}` }
  const { code, stdout, stderr } = await runProgram(flock, [lockPath, netavark, '--config', stateDirectory, command, namespacePath], {
    input: config,
    env,
  })
  if (code === 0) return
  throw new StrataError(
    'unavailable',
    'STRATA_NETAVARK_FAILED',
    `Cannot ${command === 'setup' ? 'set up' : 'take down'} the network of a container: netavark: ${complaint(stdout, stderr)}`,
    { hint: 'netavark needs iptables (apt-get install iptables) and a kernel with bridges, veth and netfilter.' },
  )
}

function missing(program: string, hint: string): never {
  throw new StrataError(
    'unavailable',
    `STRATA_${program.toUpperCase()}_MISSING`,
    `Cannot use network "bridge": ${program} is not installed`,
    {
      hint,
    },
  )
}

/** netavark prints `{"error": "…"}` on stdout; what ends it otherwise is on stderr. */
function complaint(stdout: string, stderr: string): string {
  try {
    const { error } = JSON.parse(stdout) as { error?: unknown }
    if (typeof error === 'string') return error
  } catch {
    // Not JSON: printed as it is.
  }
  return (stderr.trim() || stdout.trim() || 'it failed without a message').slice(0, 1000)
}

/** What netavark is told, the same at set-up and teardown (netavark(1); podman's libnetwork types). */
export function netavarkConfig(endpoint: Endpoint, network: NetworkRecord, mtu: number | undefined): string {
  const { interfaceName, subnet, gateway } = network.bridge!
  return JSON.stringify({
    container_id: endpoint.containerId,
    container_name: endpoint.containerName,
    port_mappings: portMappings(endpoint.ports),
    networks: {
      [interfaceName]: { interface_name: CONTAINER_INTERFACE, static_ips: [endpoint.address], static_mac: endpoint.macAddress },
    },
    network_info: {
      // netavark names chains by a hash of the name: the interface's is unique on this machine, "bridge" may be another engine's too.
      [interfaceName]: {
        name: interfaceName,
        id: network.id,
        driver: 'bridge',
        network_interface: interfaceName,
        subnets: [{ subnet, gateway }],
        ipv6_enabled: false,
        internal: false,
        dns_enabled: false,
        ipam_options: { driver: 'host-local' },
        // netavark takes 1500, and packets would get lost where the host's way out is narrower.
        ...(mtu === undefined ? {} : { options: { mtu: String(mtu) } }),
      },
    },
  })
}

interface PortMapping {
  readonly host_ip: string
  readonly host_port: number
  readonly container_port: number
  readonly protocol: string
  readonly range: number
}

/** Neighbours on both sides become one range: each mapping costs netavark a dozen runs of iptables. */
function portMappings(ports: readonly PublishedPort[]): PortMapping[] {
  const mappings: PortMapping[] = []
  const sorted = [...ports].sort((a, b) => compare(keyOf(a), keyOf(b)) || a.hostPort - b.hostPort)
  for (const port of sorted) {
    const last = mappings.at(-1)
    const next = {
      host_ip: port.hostAddress === '0.0.0.0' ? '' : port.hostAddress,
      host_port: port.hostPort,
      container_port: port.containerPort,
      protocol: port.protocol,
      range: 1,
    }
    const continues =
      last !== undefined &&
      last.host_ip === next.host_ip &&
      last.protocol === next.protocol &&
      last.host_port + last.range === next.host_port &&
      last.container_port + last.range === next.container_port
    if (continues) mappings[mappings.length - 1] = { ...last, range: last.range + 1 }
    else mappings.push(next)
  }
  return mappings
}

const keyOf = (port: PublishedPort): string => `${port.protocol} ${port.hostAddress}`
const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
