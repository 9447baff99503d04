/*
 * What a container is asked to be: docker's `create` and `run` flags as one record, in our words,
 * with units in the names. A key that is absent means the image's or the engine's default.
 */

/** When `create` and `run` ask a registry for the image. */
export type PullPolicy = 'missing' | 'always' | 'never'

export type StreamName = 'stdin' | 'stdout' | 'stderr'

export interface ContainerOptions {
  /** A reference, or an image id or a unique prefix of one. */
  readonly image: string
  readonly platform?: string
  /** Default `missing`. */
  readonly pull?: PullPolicy
  /** Without a name the engine makes one up (`adjective_noun`). */
  readonly name?: string
  /** A file that must not exist; it gets the container's id. */
  readonly cidFile?: string

  // The process
  readonly command?: readonly string[]
  /** Replaces the image's entrypoint, and drops its command. An empty list means no entrypoint. */
  readonly entrypoint?: readonly string[]
  /** `NAME=value`, added to the image's; the last of a name wins; `NAME` alone removes it. */
  readonly env?: readonly string[]
  readonly workingDirectory?: string
  /** `name|uid[:group|gid]`. */
  readonly user?: string
  /** More groups for the process, names or numbers. */
  readonly groups?: readonly string[]
  readonly tty?: boolean
  /** Keeps stdin open though nobody is attached (`-i`). */
  readonly openStdin?: boolean
  /** Which streams a foreground run is attached to; recorded in the container's Config. */
  readonly attach?: readonly StreamName[]
  /** An init as process 1 that forwards signals and reaps. */
  readonly init?: boolean
  readonly stopSignal?: string
  readonly stopTimeoutSeconds?: number
  readonly restart?: RestartOptions
  /** Removes the container and its anonymous volumes when it exits (`--rm`). */
  readonly autoRemove?: boolean
  readonly healthCheck?: HealthCheckOptions
  readonly log?: { readonly driver?: string; readonly options?: StringMap }
  readonly labels?: StringMap
  readonly annotations?: StringMap
  /** The OCI runtime's name; default the engine's. */
  readonly runtime?: string

  // Files
  /** `source:target[:options]` as docker's `-v`: an absolute path binds (and is made where missing), a name is a volume; `/target` alone is an anonymous volume. */
  readonly binds?: readonly string[]
  readonly mounts?: readonly MountOptions[]
  /** `container[:ro|rw]`: takes the mounts of other containers. */
  readonly volumesFrom?: readonly string[]
  readonly volumeDriver?: string
  /** Target → mount options, such as `size=64m,mode=1777`. */
  readonly tmpfs?: StringMap
  readonly readOnly?: boolean
  /** Driver options of the container layer, such as `size=10g`. */
  readonly storageOptions?: StringMap
  readonly shmBytes?: number
  readonly devices?: readonly DeviceOptions[]
  /** `type major:minor access`, as `c 42:* rwm`. */
  readonly deviceCgroupRules?: readonly string[]

  // Isolation
  readonly hostname?: string
  readonly domainName?: string
  readonly privileged?: boolean
  readonly capabilitiesAdded?: readonly string[]
  readonly capabilitiesDropped?: readonly string[]
  /** As docker's `--security-opt`: `no-new-privileges`, `seccomp=unconfined`, `seccomp=/path`, `apparmor=…`, `label=…`, `systempaths=unconfined`. */
  readonly securityOptions?: readonly string[]
  readonly sysctls?: StringMap
  /** `''` (default), `private`, `shareable`, `none`, `host`, `container:<name|id>`. */
  readonly ipc?: string
  /** `''` (default), `host`, `container:<name|id>`. */
  readonly pid?: string
  /** `''` (default), `host`. */
  readonly uts?: string
  /** `''` (default), `host`. */
  readonly userNamespace?: string
  readonly cgroupNamespace?: 'private' | 'host'

  // Resources
  readonly memoryBytes?: number
  readonly memoryReservationBytes?: number
  /** Memory and swap together; -1 is unlimited. */
  readonly memorySwapBytes?: number
  /** 0 to 100. */
  readonly memorySwappiness?: number
  readonly oomKillDisabled?: boolean
  /** -1000 to 1000. */
  readonly oomScoreAdjustment?: number
  /** A number of CPUs, such as 1.5. */
  readonly cpus?: number
  readonly cpuShares?: number
  readonly cpuPeriodMicroseconds?: number
  readonly cpuQuotaMicroseconds?: number
  readonly cpuRealtimePeriodMicroseconds?: number
  readonly cpuRealtimeRuntimeMicroseconds?: number
  readonly cpusetCpus?: string
  readonly cpusetMems?: string
  /** -1 is unlimited. */
  readonly pidsLimit?: number
  /** 10 to 1000. */
  readonly blockIoWeight?: number
  readonly cgroupParent?: string
  readonly ulimits?: readonly UlimitOptions[]

  // Network
  /** `bridge` (default), `host`, `none`, `container:<name|id>`, or a network's name. */
  readonly network?: string
  readonly networkAliases?: readonly string[]
  readonly ipAddress?: string
  readonly ip6Address?: string
  readonly macAddress?: string
  readonly publish?: readonly PublishOptions[]
  readonly publishAll?: boolean
  /** `port/protocol` beside the image's, such as `80/tcp`; ranges are spelled out. */
  readonly expose?: readonly string[]
  /** `name:address`; the address `host-gateway` is the host. */
  readonly extraHosts?: readonly string[]
  readonly dnsServers?: readonly string[]
  readonly dnsSearch?: readonly string[]
  readonly dnsOptions?: readonly string[]
}

export type StringMap = Readonly<Record<string, string>>

export interface RestartOptions {
  readonly policy: 'no' | 'always' | 'unless-stopped' | 'on-failure'
  /** Only with `on-failure`; 0 or absent is without end. */
  readonly maximumRetries?: number
}

export interface HealthCheckOptions {
  /** `--no-healthcheck`: not even the image's. */
  readonly disabled?: boolean
  /** Run by the image's shell. */
  readonly shellCommand?: string
  readonly intervalMs?: number
  readonly timeoutMs?: number
  readonly startPeriodMs?: number
  readonly startIntervalMs?: number
  readonly retries?: number
}

/** A mount as docker's `--mount` describes it. */
export interface MountOptions {
  readonly type: 'bind' | 'volume' | 'tmpfs' | 'image'
  /** An absolute host path, a volume's name or an image; absent for tmpfs and anonymous volumes. */
  readonly source?: string
  readonly target: string
  readonly readOnly?: boolean
  readonly bind?: {
    readonly propagation?: 'private' | 'rprivate' | 'shared' | 'rshared' | 'slave' | 'rslave'
    readonly recursive?: 'enabled' | 'disabled' | 'writable' | 'readonly'
    /** Makes a missing source directory; otherwise a missing source is refused. */
    readonly createSource?: boolean
  }
  readonly volume?: {
    readonly noCopy?: boolean
    readonly labels?: StringMap
    readonly driver?: string
    readonly driverOptions?: StringMap
    readonly subpath?: string
  }
  readonly image?: { readonly subpath?: string }
  readonly tmpfs?: { readonly sizeBytes?: number; readonly mode?: number }
}

export interface DeviceOptions {
  readonly hostPath: string
  readonly containerPath: string
  /** Of the letters r, w and m. */
  readonly access: string
}

export interface UlimitOptions {
  /** Lower case, without `RLIMIT_`: `nofile`. */
  readonly name: string
  /** -1 is unlimited. */
  readonly soft: number
  readonly hard: number
}

export interface PublishOptions {
  /** '' is every address. */
  readonly hostAddress: string
  /** 0 lets the engine choose a free one. */
  readonly hostPort: number
  /** The last port of a range from which the engine chooses one (`-p 8000-9000:80`). */
  readonly hostPortEnd?: number
  readonly containerPort: number
  readonly protocol: 'tcp' | 'udp' | 'sctp'
}
