import type { CgroupFacts } from './cgroups.ts'
import type { ConsoleSize, RuntimeDevice, RuntimeDeviceRule, RuntimeUser, SeccompProfile } from './runtimeSpec.ts'

/**
 * Everything that decides how a container runs, resolved: ids instead of user names, absolute paths
 * of the host instead of volume names, bytes instead of `512m`. What is left out has docker's default.
 */
export interface BundleOptions {
  /** Names the cgroup: `<cgroupParent>/<id>`. */
  readonly id: string
  /** An absolute path in the cgroup tree; `/strata` unless told. */
  readonly cgroupParent?: string
  /** The mounted root file system, an absolute path of the host. */
  readonly rootfs: string
  readonly readonlyRootfs?: boolean
  readonly process: ProcessOptions
  /** At most 64 bytes; ignored (the host's is seen) with `namespaces.uts: 'host'`. */
  readonly hostname?: string
  readonly domainname?: string
  /** Binds and other mounts of the user, in the order they are given; deeper targets are mounted later. */
  readonly mounts?: readonly BundleMount[]
  readonly namespaces?: NamespaceOptions
  /** Device nodes to create, which the container may also use. */
  readonly devices?: readonly BundleDevice[]
  /** Further rules of the device cgroup (`--device-cgroup-rule`). */
  readonly deviceRules?: readonly RuntimeDeviceRule[]
  readonly resources?: ResourceOptions
  /** A profile is what `parseSeccompProfile` makes of a file. */
  readonly seccomp?: 'default' | 'unconfined' | SeccompProfile
  /** undefined: docker's; []: nothing is masked (`--security-opt systempaths=unconfined`). */
  readonly maskedPaths?: readonly string[]
  readonly readonlyPaths?: readonly string[]
  readonly sysctls?: Readonly<Record<string, string>>
  /** Size of /dev/shm in bytes; 64 MiB unless told. */
  readonly shmBytes?: number
  /** A static init program of the host; it becomes process 1 and the arguments become its child. */
  readonly initProgram?: string
  /** Runtimes obey some of these (`run.oci.handler`): the user's or the engine's words, never an image's labels. */
  readonly annotations?: Readonly<Record<string, string>>
}

/** How one process starts: that of the container, or of an exec session in it. */
export interface ProcessOptions {
  readonly args: readonly string[]
  /** `NAME=value`; PATH, and TERM with a terminal, are added where they are missing. */
  readonly env?: readonly string[]
  /** An absolute path of the container; `/` unless told. */
  readonly cwd?: string
  /** Root unless told. */
  readonly user?: RuntimeUser
  readonly terminal?: boolean
  readonly consoleSize?: ConsoleSize
  /** `NET_ADMIN`, `CAP_NET_ADMIN` or `ALL`, in any case. */
  readonly capabilities?: { readonly add?: readonly string[]; readonly drop?: readonly string[] }
  readonly privileged?: boolean
  readonly noNewPrivileges?: boolean
  readonly ulimits?: readonly Ulimit[]
  /** -1000 to 1000. */
  readonly oomScoreAdj?: number
}

/** `name` as `ulimit` has it: `nofile`, `nproc`, …; -1 stands for unlimited. */
export interface Ulimit {
  readonly name: string
  readonly soft: number
  readonly hard: number
}

export type BundleMount =
  | {
      readonly kind: 'bind'
      /** An absolute path of the host that exists. */
      readonly source: string
      readonly target: string
      readonly readonly?: boolean
      /** `rprivate` unless told. */
      readonly propagation?: 'private' | 'rprivate' | 'shared' | 'rshared' | 'slave' | 'rslave'
      /** Leaves out what is mounted below the source. */
      readonly nonRecursive?: boolean
      readonly options?: readonly string[]
    }
  | {
      readonly kind: 'tmpfs'
      readonly target: string
      /** mount(8) words, such as `size=64m`, `mode=1770`, `exec`; they override nosuid, nodev and noexec. */
      readonly options?: readonly string[]
    }

export interface NamespaceOptions {
  /** `none` is a new one with nothing but a loopback device. */
  readonly network?: 'host' | 'none' | { readonly path: string }
  readonly pid?: 'private' | 'host' | { readonly path: string }
  readonly ipc?: 'private' | 'host' | { readonly path: string }
  readonly uts?: 'private' | 'host'
  /** Unless told: private with cgroup v2, the host's otherwise, as docker. */
  readonly cgroup?: 'private' | 'host'
}

export interface BundleDevice {
  readonly device: RuntimeDevice
  /** Letters of `rwm`. */
  readonly access: string
}

export interface ResourceOptions {
  readonly memoryBytes?: number
  /** Memory and swap together, in bytes; -1: as much swap as there is. Twice the memory unless told, as docker. */
  readonly memorySwapBytes?: number
  readonly memoryReservationBytes?: number
  readonly disableOomKiller?: boolean
  /** 0 to 100; cgroup version 1 only. */
  readonly memorySwappiness?: number
  /** Processors, with fractions: 1.5. */
  readonly cpus?: number
  readonly cpuShares?: number
  readonly cpuPeriodUs?: number
  readonly cpuQuotaUs?: number
  readonly cpuRealtimePeriodUs?: number
  readonly cpuRealtimeRuntimeUs?: number
  /** `0-2,7`. */
  readonly cpusetCpus?: string
  readonly cpusetMems?: string
  /** -1: no limit. */
  readonly pidsLimit?: number
  /** 10 to 1000. */
  readonly blkioWeight?: number
}

/** What of this machine decides how a bundle looks; read once by `readRuntimeFacts`, or made up by tests. */
export interface RuntimeFacts {
  /** In OCI's words: `amd64`, `arm64`, `386`, … */
  readonly architecture: string
  /** `6.18.44-…`. */
  readonly kernelRelease: string
  /** How many processors this process may use. */
  readonly processors: number
  readonly cgroups: CgroupFacts
  /** The bounding set of this process, as `CAP_…`: nobody can give more. */
  readonly capabilities: readonly string[]
  /** Hard limits of this process, by `RLIMIT_…`; undefined is unlimited. */
  readonly hardLimits: Readonly<Record<string, number | undefined>>
  /** The kernel filters system calls. */
  readonly seccomp: boolean
  /** Device nodes below /dev, for privileged containers; empty where nobody asked for them. */
  readonly devices: readonly RuntimeDevice[]
}
