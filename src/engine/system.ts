import type { StringMap, VolumeInspect } from '../container/index.ts'
import type { ContainerSummary } from './containers.ts'
import type { ImageSummary } from './images.ts'

export interface DiskUsage {
  /** With `sharedBytes` and `containers`. */
  readonly images: readonly ImageSummary[]
  /** Bytes of all layers, each once. */
  readonly layersBytes: number
  /** Bytes that killed commands have left of what they were writing: the next one goes on from there, and `system prune` removes them. */
  readonly interruptedBytes: number
  /** With `layerBytes`. */
  readonly containers: readonly ContainerSummary[]
  /** With `UsageData`. */
  readonly volumes: readonly VolumeInspect[]
  readonly cache: CacheUsage
}

/** What is kept as a cache of another registry (`serve` with `upstream`): blobs that are not unpacked. */
export interface CacheUsage {
  /** Tags, and digests that no tag leads to. By name. */
  readonly names: readonly { readonly name: string; readonly digest: string; readonly sizeBytes: number }[]
  /** Bytes of all blobs, each once. */
  readonly bytes: number
  /** Bytes of those that nothing else keeps. */
  readonly reclaimableBytes: number
}

/** Something in a root that is not as it was stored. */
export interface StoreProblem {
  /** `garbage` harms nobody and goes with the next prune; `damage` is bytes that are lost. */
  readonly severity: 'damage' | 'garbage'
  /** One sentence. */
  readonly message: string
}

/** What `docker info` knows (SystemInfo in the Docker Engine API, v1.51), as far as it has a meaning here. */
export interface EngineInfo {
  readonly ID: string
  readonly Containers: number
  readonly ContainersRunning: number
  readonly ContainersPaused: number
  readonly ContainersStopped: number
  readonly Images: number
  readonly Driver: string
  readonly DriverStatus: readonly (readonly [string, string])[]
  /** The root directory, under the name that scripts know. */
  readonly DockerRootDir: string
  readonly MemoryLimit: boolean
  readonly SwapLimit: boolean
  readonly CpuCfsPeriod: boolean
  readonly CpuCfsQuota: boolean
  readonly CPUShares: boolean
  readonly CPUSet: boolean
  readonly PidsLimit: boolean
  readonly OomKillDisable: boolean
  readonly IPv4Forwarding: boolean
  readonly LoggingDriver: string
  readonly CgroupDriver: 'cgroupfs' | 'systemd' | 'none'
  /** '' where there are no cgroups. */
  readonly CgroupVersion: '1' | '2' | ''
  readonly KernelVersion: string
  readonly OperatingSystem: string
  readonly OSType: string
  readonly Architecture: string
  readonly NCPU: number
  readonly MemTotal: number
  readonly Name: string
  readonly Labels: readonly string[]
  readonly ServerVersion: string
  readonly Runtimes: Readonly<Record<string, { readonly path: string }>>
  readonly DefaultRuntime: string
  readonly SecurityOptions: readonly string[]
  readonly SystemTime: string
  /** The path of the policy.json in force; '' where there is none, and every image is accepted. */
  readonly SignaturePolicy: string
  /** Sentences: what does not work here, why, and what to do. */
  readonly Warnings: readonly string[]
}

/** The server's half of `docker version` (SystemVersion in the Docker Engine API, v1.51). */
export interface EngineVersion {
  readonly Platform: { readonly Name: string }
  readonly Components: readonly { readonly Name: string; readonly Version: string; readonly Details?: StringMap }[]
  readonly Version: string
  readonly ApiVersion: string
  readonly MinAPIVersion: string
  readonly Os: string
  readonly Arch: string
  readonly KernelVersion: string
}

/** A network as `docker network inspect` prints it (Network in the Docker Engine API, v1.51). */
export interface NetworkInspect {
  readonly Name: string
  readonly Id: string
  readonly Created: string
  readonly Scope: 'local'
  readonly Driver: string
  readonly EnableIPv4: boolean
  readonly EnableIPv6: boolean
  readonly IPAM: {
    readonly Driver: string
    readonly Options: StringMap | null
    readonly Config: readonly { readonly Subnet?: string; readonly IPRange?: string; readonly Gateway?: string }[]
  }
  readonly Internal: boolean
  readonly Attachable: boolean
  readonly Ingress: boolean
  readonly ConfigFrom: { readonly Network: string }
  readonly ConfigOnly: boolean
  readonly Containers: Readonly<
    Record<
      string,
      {
        readonly Name: string
        readonly EndpointID: string
        readonly MacAddress: string
        readonly IPv4Address: string
        readonly IPv6Address: string
      }
    >
  >
  readonly Options: StringMap
  readonly Labels: StringMap
}
