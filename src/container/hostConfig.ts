import type { HostConfigJson, MountJson, MountPointJson, PortBindingJson, PortMap } from './inspect.ts'
import type { ContainerOptions, MountOptions, PublishOptions } from './options.ts'
import type { ContainerPaths } from './paths.ts'
import type { ContainerDefinition } from './record.ts'

/** How docker says what a container was asked to be (HostConfig in the Docker Engine API, v1.51). */
export function hostConfig({ options }: ContainerDefinition): HostConfigJson {
  return {
    Binds: listOrNull(options.binds),
    ContainerIDFile: options.cidFile ?? '',
    LogConfig: { Type: options.log?.driver ?? 'json-file', Config: options.log?.options ?? {} },
    NetworkMode: options.network === undefined || options.network === 'default' || options.network === '' ? 'bridge' : options.network,
    PortBindings: portBindings(options.publish ?? []),
    RestartPolicy: { Name: options.restart?.policy ?? 'no', MaximumRetryCount: options.restart?.maximumRetries ?? 0 },
    AutoRemove: options.autoRemove === true,
    VolumeDriver: options.volumeDriver ?? '',
    VolumesFrom: listOrNull(options.volumesFrom),
    ...(options.mounts === undefined ? {} : { Mounts: options.mounts.map(mountJson) }),
    ConsoleSize: [0, 0],
    ...(options.annotations === undefined ? {} : { Annotations: options.annotations }),
    CapAdd: listOrNull(options.capabilitiesAdded),
    CapDrop: listOrNull(options.capabilitiesDropped),
    CgroupnsMode: options.cgroupNamespace ?? '',
    Dns: options.dnsServers ?? [],
    DnsOptions: options.dnsOptions ?? [],
    DnsSearch: options.dnsSearch ?? [],
    ExtraHosts: listOrNull(options.extraHosts),
    GroupAdd: listOrNull(options.groups),
    IpcMode: options.ipc === undefined || options.ipc === '' ? 'private' : options.ipc,
    Cgroup: '',
    Links: null,
    OomScoreAdj: options.oomScoreAdjustment ?? 0,
    PidMode: options.pid ?? '',
    Privileged: options.privileged === true,
    PublishAllPorts: options.publishAll === true,
    ReadonlyRootfs: options.readOnly === true,
    SecurityOpt: listOrNull(options.securityOptions),
    ...(options.storageOptions === undefined ? {} : { StorageOpt: options.storageOptions }),
    ...(options.tmpfs === undefined ? {} : { Tmpfs: options.tmpfs }),
    UTSMode: options.uts ?? '',
    UsernsMode: options.userNamespace ?? '',
    ShmSize: options.shmBytes ?? 64 * 1024 * 1024,
    ...(options.sysctls === undefined ? {} : { Sysctls: options.sysctls }),
    Runtime: options.runtime ?? 'crun',
    Isolation: '',
    MaskedPaths: null,
    ReadonlyPaths: null,
    ...resourceJson(options),
    ...(options.init === undefined ? {} : { Init: options.init }),
  }
}

function resourceJson(
  options: ContainerOptions,
): Pick<
  HostConfigJson,
  | 'CpuShares'
  | 'Memory'
  | 'NanoCpus'
  | 'CgroupParent'
  | 'BlkioWeight'
  | 'CpuPeriod'
  | 'CpuQuota'
  | 'CpuRealtimePeriod'
  | 'CpuRealtimeRuntime'
  | 'CpusetCpus'
  | 'CpusetMems'
  | 'Devices'
  | 'DeviceCgroupRules'
  | 'MemoryReservation'
  | 'MemorySwap'
  | 'MemorySwappiness'
  | 'OomKillDisable'
  | 'PidsLimit'
  | 'Ulimits'
> {
  const memory = options.memoryBytes ?? 0
  return {
    CpuShares: options.cpuShares ?? 0,
    Memory: memory,
    NanoCpus: Math.round((options.cpus ?? 0) * 1e9),
    CgroupParent: options.cgroupParent ?? '',
    BlkioWeight: options.blockIoWeight ?? 0,
    CpuPeriod: options.cpuPeriodMicroseconds ?? 0,
    CpuQuota: options.cpuQuotaMicroseconds ?? 0,
    CpuRealtimePeriod: options.cpuRealtimePeriodMicroseconds ?? 0,
    CpuRealtimeRuntime: options.cpuRealtimeRuntimeMicroseconds ?? 0,
    CpusetCpus: options.cpusetCpus ?? '',
    CpusetMems: options.cpusetMems ?? '',
    Devices:
      options.devices?.map(({ hostPath, containerPath, access }) => ({
        PathOnHost: hostPath,
        PathInContainer: containerPath,
        CgroupPermissions: access,
      })) ?? null,
    DeviceCgroupRules: listOrNull(options.deviceCgroupRules),
    MemoryReservation: options.memoryReservationBytes ?? 0,
    // Docker's default: as much swap as memory.
    MemorySwap: options.memorySwapBytes ?? memory * 2,
    MemorySwappiness: options.memorySwappiness ?? null,
    OomKillDisable: options.oomKillDisabled === true,
    PidsLimit: options.pidsLimit ?? null,
    Ulimits: options.ulimits?.map(({ name, soft, hard }) => ({ Name: name, Soft: soft, Hard: hard })) ?? null,
  }
}

/** What was asked for, by container port; '' where the engine chooses the port of the host. */
function portBindings(publish: readonly PublishOptions[]): PortMap {
  const bindings: Record<string, PortBindingJson[]> = {}
  for (const { hostAddress, hostPort, hostPortEnd, containerPort, protocol } of publish) {
    const range = hostPortEnd === undefined ? '' : `-${hostPortEnd}`
    const binding = { HostIp: hostAddress, HostPort: hostPort === 0 ? '' : `${hostPort}${range}` }
    ;(bindings[`${containerPort}/${protocol}`] ??= []).push(binding)
  }
  return bindings
}

function mountJson(mount: MountOptions): MountJson {
  return {
    Type: mount.type,
    ...(mount.source === undefined ? {} : { Source: mount.source }),
    Target: mount.target,
    ...(mount.readOnly === undefined ? {} : { ReadOnly: mount.readOnly }),
    ...(mount.bind === undefined
      ? {}
      : {
          BindOptions: {
            ...(mount.bind.propagation === undefined ? {} : { Propagation: mount.bind.propagation }),
            ...(mount.bind.recursive === 'disabled' ? { NonRecursive: true } : {}),
            ...(mount.bind.createSource === undefined ? {} : { CreateMountpoint: mount.bind.createSource }),
          },
        }),
    ...(mount.volume === undefined
      ? {}
      : {
          VolumeOptions: {
            ...(mount.volume.noCopy === undefined ? {} : { NoCopy: mount.volume.noCopy }),
            ...(mount.volume.labels === undefined ? {} : { Labels: mount.volume.labels }),
            ...(mount.volume.subpath === undefined ? {} : { Subpath: mount.volume.subpath }),
          },
        }),
    ...(mount.tmpfs === undefined
      ? {}
      : {
          TmpfsOptions: {
            ...(mount.tmpfs.sizeBytes === undefined ? {} : { SizeBytes: mount.tmpfs.sizeBytes }),
            ...(mount.tmpfs.mode === undefined ? {} : { Mode: mount.tmpfs.mode }),
          },
        }),
  }
}

/** The mounts as the container has them; `--tmpfs` is only in the HostConfig, as with docker. */
export function mountPoints({ mounts }: ContainerDefinition, paths: ContainerPaths): readonly MountPointJson[] {
  return mounts.flatMap((mount): MountPointJson[] => {
    const common = { Destination: mount.target, RW: !mount.readOnly }
    switch (mount.type) {
      case 'bind':
        return [{ Type: 'bind', Source: mount.source, ...common, Mode: mount.mode, Propagation: mount.propagation }]
      case 'volume':
        return [
          {
            Type: 'volume',
            Name: mount.volume,
            Source: paths.volumeData(mount.volume),
            ...common,
            Driver: 'local',
            Mode: mount.mode,
            Propagation: '',
          },
        ]
      case 'tmpfs':
        return mount.asMount ? [{ Type: 'tmpfs', Source: '', ...common, Mode: '', Propagation: '' }] : []
      default:
        return mount satisfies never
    }
  })
}

function listOrNull<T>(list: readonly T[] | undefined): readonly T[] | null {
  return list === undefined || list.length === 0 ? null : list
}
