/*
 * The part of the OCI runtime-spec's config.json that we write. Names are those of the wire.
 * Source: runtime-spec config.md, config-linux.md; checked in tests against its JSON schemas.
 */

export interface RuntimeSpec {
  readonly ociVersion: string
  readonly process: RuntimeProcess
  readonly root: { readonly path: string; readonly readonly: boolean }
  readonly hostname?: string
  readonly domainname?: string
  readonly mounts: readonly RuntimeMount[]
  readonly annotations?: Readonly<Record<string, string>>
  readonly linux: RuntimeLinux
}

/** The process of a container, or of an exec session. runtime-spec config.md#process */
export interface RuntimeProcess {
  readonly terminal: boolean
  readonly consoleSize?: ConsoleSize
  readonly user: RuntimeUser
  readonly args: readonly string[]
  readonly env: readonly string[]
  readonly cwd: string
  readonly capabilities: RuntimeCapabilities
  readonly rlimits: readonly RuntimeRlimit[]
  readonly noNewPrivileges: boolean
  readonly oomScoreAdj?: number
}

/** In characters, not pixels. */
export interface ConsoleSize {
  readonly height: number
  readonly width: number
}

export interface RuntimeUser {
  readonly uid: number
  readonly gid: number
  readonly additionalGids: readonly number[]
  readonly umask?: number
}

export interface RuntimeCapabilities {
  readonly bounding: readonly string[]
  readonly effective: readonly string[]
  readonly permitted: readonly string[]
  readonly inheritable: readonly string[]
  readonly ambient: readonly string[]
}

export interface RuntimeRlimit {
  readonly type: string
  readonly soft: number
  readonly hard: number
}

export interface RuntimeMount {
  readonly destination: string
  readonly type?: string
  readonly source?: string
  readonly options?: readonly string[]
}

export interface RuntimeLinux {
  readonly namespaces: readonly { readonly type: NamespaceKind; readonly path?: string }[]
  readonly devices?: readonly RuntimeDevice[]
  readonly resources: RuntimeResources
  readonly cgroupsPath?: string
  readonly rootfsPropagation?: 'private' | 'slave' | 'shared'
  readonly seccomp?: SeccompProfile
  readonly sysctl?: Readonly<Record<string, string>>
  readonly maskedPaths: readonly string[]
  readonly readonlyPaths: readonly string[]
}

export type NamespaceKind = 'pid' | 'network' | 'mount' | 'ipc' | 'uts' | 'cgroup'

export interface RuntimeDevice {
  readonly type: 'c' | 'b' | 'p'
  readonly path: string
  readonly major: number
  readonly minor: number
  readonly fileMode?: number
  readonly uid?: number
  readonly gid?: number
}

/** Limits of a container, as `update` takes them too. runtime-spec config-linux.md#control-groups */
export interface RuntimeResources {
  readonly devices?: readonly RuntimeDeviceRule[]
  readonly memory?: RuntimeMemory
  readonly cpu?: RuntimeCpu
  readonly pids?: { readonly limit: number }
  readonly blockIO?: { readonly weight?: number }
}

/** In bytes; -1 stands for no limit. `swap` is memory and swap together. */
export interface RuntimeMemory {
  readonly limit?: number
  readonly swap?: number
  readonly reservation?: number
  readonly swappiness?: number
  readonly disableOOMKiller?: boolean
}

/** Quotas, periods and runtimes in microseconds. */
export interface RuntimeCpu {
  readonly shares?: number
  readonly quota?: number
  readonly period?: number
  readonly realtimePeriod?: number
  readonly realtimeRuntime?: number
  readonly cpus?: string
  readonly mems?: string
}

export interface RuntimeDeviceRule {
  readonly allow: boolean
  readonly type?: 'a' | 'c' | 'b'
  readonly major?: number
  readonly minor?: number
  readonly access: string
}

/** runtime-spec config-linux.md#seccomp */
export interface SeccompProfile {
  readonly defaultAction: string
  readonly defaultErrnoRet?: number
  readonly architectures?: readonly string[]
  readonly flags?: readonly string[]
  readonly syscalls?: readonly SeccompRule[]
}

export interface SeccompRule {
  readonly names: readonly string[]
  readonly action: string
  readonly errnoRet?: number
  readonly args?: readonly SeccompArgument[]
}

export interface SeccompArgument {
  readonly index: number
  readonly value: number
  readonly valueTwo?: number
  readonly op: string
}
