import type { HealthStatus, ContainerStatus, MountPointJson } from './inspect.ts'
import type { StringMap } from './options.ts'
import type { AttachmentEnd } from './streams.ts'

/*
 * What the verbs on containers are asked and what they answer, where it is more than an id.
 */

export interface CreatedContainer {
  readonly id: string
  /** Sentences for people about what will not be as asked, such as a limit without a cgroup. */
  readonly warnings: readonly string[]
}

export interface ContainerRun extends CreatedContainer {
  /**
   * How the attachment ended; with autoRemove, only after the container is gone. Never settles when
   * no streams were given. The process that called must live until then: it may be the monitor.
   */
  readonly ended: Promise<AttachmentEnd>
}

export interface CommitSourceOptions {
  /** A running container stands still while its layer is read. Default true. */
  readonly pause?: boolean
  /** Leaves out the empty places that were made for its mounts. Default false. */
  readonly withoutMountPoints?: boolean
}

export interface ExecOptions {
  readonly command: readonly string[]
  readonly tty?: boolean
  readonly env?: readonly string[]
  readonly workingDirectory?: string
  readonly user?: string
  readonly privileged?: boolean
}

export interface ExecRun {
  readonly execId: string
  /** Never settles when no streams were given. */
  readonly ended: Promise<AttachmentEnd>
  /** Signals the process of this exec; container signals do not reach it. */
  kill(signal: string): Promise<void>
}

export interface StopOptions {
  /** Default: the container's, then the image's, then SIGTERM. */
  readonly signal?: string
  /** Default: the container's, then 10; -1 waits without end. */
  readonly timeoutSeconds?: number
}

export interface ContainerRemoveOptions {
  readonly force?: boolean
  /** With its anonymous volumes. */
  readonly volumes?: boolean
}

export interface ContainerPruneOptions {
  readonly until?: Date
  readonly labels?: readonly string[]
  readonly labelsAbsent?: readonly string[]
}

/** Within one list any match will do (labels: all must match); different lists must all match. */
export interface ContainerListOptions {
  /** Also those that do not run. Implied by `limit` and by `statuses`. */
  readonly all?: boolean
  /** Only the newest so many. */
  readonly limit?: number
  /** Measures the container layers: `layerBytes` and `rootfsBytes`. */
  readonly size?: boolean
  readonly ids?: readonly string[]
  /** Regular expressions over the name. */
  readonly names?: readonly string[]
  readonly labels?: readonly string[]
  readonly statuses?: readonly ContainerStatus[]
  readonly exitCodes?: readonly number[]
  readonly health?: readonly (HealthStatus | 'none')[]
  /** Images that the container's image is, or is made from. */
  readonly ancestors?: readonly string[]
  readonly before?: string
  readonly since?: string
  /** Volume names or mount targets. */
  readonly volumes?: readonly string[]
  readonly networks?: readonly string[]
  /** `port[-port][/protocol]`. */
  readonly published?: readonly string[]
  readonly exposed?: readonly string[]
}

export interface ContainerPort {
  readonly containerPort: number
  readonly protocol: 'tcp' | 'udp' | 'sctp'
  /** Absent when the port is only exposed. */
  readonly hostAddress?: string
  readonly hostPort?: number
}

export interface ContainerSummary {
  readonly id: string
  /** Without a slash. */
  readonly name: string
  /** As it was asked for, or the id when the name has moved on. */
  readonly image: string
  readonly imageId: string
  /** Entrypoint and command in one line. */
  readonly command: string
  readonly createdAt: Date
  readonly status: ContainerStatus
  readonly exitCode: number
  readonly startedAt: Date | undefined
  readonly finishedAt: Date | undefined
  readonly health: HealthStatus | undefined
  readonly ports: readonly ContainerPort[]
  readonly labels: StringMap
  readonly mounts: readonly MountPointJson[]
  readonly networks: readonly string[]
  readonly platform: string
  /** Bytes of the container layer. */
  readonly layerBytes?: number
  /** Bytes of the container layer and the image. */
  readonly rootfsBytes?: number
}

export interface LogOptions {
  readonly follow?: boolean
  readonly stdout?: boolean
  readonly stderr?: boolean
  readonly since?: Date
  readonly until?: Date
  /** Only the last so many lines. */
  readonly tail?: number
}

/** What one write or line of the container left in the log; together they are its output exactly. */
export interface LogEntry {
  readonly stream: 'stdout' | 'stderr'
  /** RFC 3339 with nanoseconds, in UTC. */
  readonly timestamp: string
  readonly bytes: Uint8Array
}

export interface ProcessTable {
  readonly titles: readonly string[]
  readonly processes: readonly (readonly string[])[]
}

export interface ContainerChange {
  readonly kind: 'add' | 'modify' | 'delete'
  /** Absolute. */
  readonly path: string
}

export interface PathStat {
  readonly name: string
  readonly sizeBytes: number
  readonly type: 'file' | 'directory' | 'symlink' | 'character' | 'block' | 'fifo' | 'socket'
  /** Permission bits, 0o7777. */
  readonly mode: number
  readonly modifiedAt: Date
  /** '' unless a symlink. */
  readonly linkTarget: string
}

export interface CopyOptions {
  /** Keeps numeric owners (`cp -a`); otherwise copies belong to the container's root or to the caller. */
  readonly keepOwners?: boolean
  /** Follows a symlink that is the source itself. */
  readonly followLink?: boolean
}

export interface CopyReport {
  readonly bytes: number
}

export interface PruneReport<Removed> {
  readonly removed: readonly Removed[]
  readonly reclaimedBytes: number
}
