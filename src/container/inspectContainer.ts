import { existsSync } from 'node:fs'
import type { Endpoint } from '../network/index.ts'
import { parseNetworkMode } from '../network/index.ts'
import { etcOwner } from './containerEtc.ts'
import { runningSessions } from './exec.ts'
import { hostConfig, mountPoints } from './hostConfig.ts'
import type {
  ContainerInspect,
  ContainerStateJson,
  ContainerStatus,
  EndpointJson,
  NetworkSettingsJson,
  PortBindingJson,
} from './inspect.ts'
import type { Installation } from './installation.ts'
import { logFile } from './logFile.ts'
import { commandLine } from './mergedConfig.ts'
import { type ContainerRecord, hasProcess } from './record.ts'

/** Go's zero time, which docker prints for "never". */
const NEVER_AT = '0001-01-01T00:00:00Z'

/** All that is known of a container, in docker's shape. */
export async function inspectContainer(
  installation: Installation,
  record: ContainerRecord,
  options: { readonly size?: boolean } = {},
): Promise<ContainerInspect> {
  const { id, name, createdAt, definition } = record
  const { config, image, driver = installation.snapshots.driverName } = definition
  const { paths } = installation
  const [path = '', ...args] = commandLine(config)
  const owner = etcOwner(installation, record)
  const etc = (file: 'hosts' | 'hostname' | 'resolv.conf'): string => (existsSync(paths.etc(owner, file)) ? paths.etc(owner, file) : '')
  const size = options.size === true ? await containerSizes(installation, record) : undefined
  const sessions = runningSessions(installation, id)
  return {
    Id: id,
    Created: createdAt.toISOString(),
    Path: path,
    Args: args,
    State: await stateJson(installation, record),
    Image: image.id,
    ResolvConfPath: etc('resolv.conf'),
    HostnamePath: etc('hostname'),
    HostsPath: etc('hosts'),
    LogPath: logFile(installation, record)?.path ?? '',
    Name: `/${name}`,
    RestartCount: record.state.restartCount,
    Driver: driver,
    Platform: image.platform.split('/', 1)[0] ?? '',
    MountLabel: '',
    ProcessLabel: '',
    AppArmorProfile: '',
    ExecIDs: sessions.length === 0 ? null : sessions,
    HostConfig: hostConfig(definition),
    GraphDriver: { Name: driver, Data: null },
    ...(size === undefined ? {} : { SizeRw: size.layerBytes, SizeRootFs: size.rootfsBytes }),
    Mounts: mountPoints(definition, paths),
    Config: config,
    NetworkSettings: await networkSettings(installation, record),
  }
}

async function stateJson(installation: Installation, record: ContainerRecord): Promise<ContainerStateJson> {
  const { state } = record
  const status = visibleStatus(record)
  const isRunning = hasProcess(state)
  const pid = isRunning ? (state.run?.pid ?? (await (await installation.runtime()).state(record.id))?.pid ?? 0) : 0
  return {
    Status: status,
    Running: isRunning || status === 'restarting',
    Paused: status === 'paused',
    Restarting: status === 'restarting',
    OOMKilled: state.oomKilled,
    Dead: status === 'dead',
    Pid: pid,
    ExitCode: state.exitCode,
    Error: state.error,
    StartedAt: state.startedAt ?? NEVER_AT,
    FinishedAt: state.finishedAt ?? NEVER_AT,
  }
}

/** A container that stands still for a commit is paused for everybody who looks. */
export function visibleStatus({ state }: ContainerRecord): ContainerStatus {
  if (state.status === 'creating') return 'created'
  return state.status === 'running' && state.pausedBy !== undefined ? 'paused' : state.status
}

/** Bytes of the container layer, and of it and the image together. */
export async function containerSizes(
  installation: Installation,
  record: ContainerRecord,
): Promise<{ readonly layerBytes: number; readonly rootfsBytes: number }> {
  const { snapshots } = installation
  if (!installation.hasLayerOf(record)) return { layerBytes: 0, rootfsBytes: 0 }
  const { id } = record
  const { bytes: layerBytes } = await snapshots.usage(id)
  let rootfsBytes = layerBytes
  for (let { parent } = await snapshots.stat(id); parent !== undefined; { parent } = await snapshots.stat(parent)) {
    rootfsBytes += (await snapshots.usage(parent)).bytes
  }
  return { layerBytes, rootfsBytes }
}

/** The place of a container on its network; only a running one on a bridge has one. */
export async function endpointOf(installation: Installation, { id, state, definition }: ContainerRecord): Promise<Endpoint | undefined> {
  const { kind } = parseNetworkMode(definition.options.network ?? '')
  if (!hasProcess(state) || (kind !== 'bridge' && kind !== 'network')) return undefined
  return await installation.networks.endpoint(id)
}

async function networkSettings(installation: Installation, record: ContainerRecord): Promise<NetworkSettingsJson> {
  const { options, config } = record.definition
  const endpoint = await endpointOf(installation, record)
  const mode = parseNetworkMode(options.network ?? '')
  const name = mode.kind === 'network' ? mode.name : mode.kind
  const ports: Record<string, PortBindingJson[] | null> = {}
  for (const port of Object.keys(config.ExposedPorts ?? {})) if (endpoint !== undefined) ports[port] = null
  for (const { hostAddress, hostPort, containerPort, protocol } of endpoint?.ports ?? []) {
    ;(ports[`${containerPort}/${protocol}`] ??= []).push({ HostIp: hostAddress, HostPort: String(hostPort) })
  }
  return {
    Bridge: '',
    SandboxID: endpoint?.id ?? '',
    SandboxKey: endpoint?.namespacePath ?? '',
    Ports: ports,
    HairpinMode: false,
    LinkLocalIPv6Address: '',
    LinkLocalIPv6PrefixLen: 0,
    EndpointID: endpoint?.id ?? '',
    Gateway: endpoint?.gateway ?? '',
    GlobalIPv6Address: '',
    GlobalIPv6PrefixLen: 0,
    IPAddress: endpoint?.address ?? '',
    IPPrefixLen: endpoint?.prefixLength ?? 0,
    IPv6Gateway: '',
    MacAddress: endpoint?.macAddress ?? '',
    Networks: mode.kind === 'container' ? {} : { [name]: endpointJson(endpoint, options.networkAliases) },
  }
}

function endpointJson(endpoint: Endpoint | undefined, aliases: readonly string[] | undefined): EndpointJson {
  return {
    IPAMConfig: null,
    Links: null,
    Aliases: aliases ?? null,
    MacAddress: endpoint?.macAddress ?? '',
    DriverOpts: null,
    GwPriority: 0,
    NetworkID: endpoint?.networkId ?? '',
    EndpointID: endpoint?.id ?? '',
    Gateway: endpoint?.gateway ?? '',
    IPAddress: endpoint?.address ?? '',
    IPPrefixLen: endpoint?.prefixLength ?? 0,
    IPv6Gateway: '',
    GlobalIPv6Address: '',
    GlobalIPv6PrefixLen: 0,
    DNSNames: null,
  }
}
