import type { ByteStream, CallOptions } from '../base/index.ts'
import type { ContainerConfigJson, ContainerInspect } from './inspect.ts'
import type { ContainerImage } from './installation.ts'
import type { ContainerOptions } from './options.ts'
import type {
  CommitSourceOptions,
  ContainerChange,
  ContainerListOptions,
  ContainerPruneOptions,
  ContainerRemoveOptions,
  ContainerRun,
  ContainerSummary,
  CopyOptions,
  CopyReport,
  CreatedContainer,
  ExecOptions,
  ExecRun,
  LogEntry,
  LogOptions,
  PathStat,
  ProcessTable,
  PruneReport,
  StopOptions,
} from './requests.ts'
import type { AttachedStreams, AttachmentEnd } from './streams.ts'
import type { VolumeInspect, VolumeListOptions, VolumeOptions, VolumePruneOptions } from './volumeInspect.ts'

/** What `commit` makes an image of. */
export interface CommitSource {
  readonly id: string
  readonly imageId: string
  readonly config: ContainerConfigJson
  /** The plain layer tar of the container layer. Read it to its end or give it up: until then the container stands still. */
  readonly layer: ByteStream
}

/**
 * The containers and volumes of one root. A container is a record, a container layer (an active
 * snapshot whose key is its id) and, while it runs, a process that a monitor of its own holds: it
 * outlives whoever started it.
 *
 *     created ── start ──▶ running ◀── unpause/pause ──▶ paused
 *        │                  │  ▲
 *      remove              end │ start, or by its restart policy through `restarting`
 *        ▼                  ▼  │
 *      (gone) ◀── remove ── exited
 *
 * No daemon watches. What is due after an end is done by the first of: the process that was attached,
 * the monitor's exit command (`cleanUp`), or anybody who looks at the container later; all of them may
 * try, and a process that was killed half-way is made up for. What a record says of a running
 * container is believed only while its monitor lives.
 *
 * `container` is a name, an id or a unique prefix of an id. Methods reject with `notFound`
 * (STRATA_NO_SUCH_CONTAINER, STRATA_NO_SUCH_VOLUME), and with `conflict` when the state of a thing
 * forbids the verb.
 */
export interface Containers {
  /** Makes a container; nobody sees it before it is complete. Rejects with `conflict` (STRATA_NAME_IN_USE). */
  create(options: ContainerOptions, image: ContainerImage): Promise<CreatedContainer>
  /** See `Engine.start`. */
  start(container: string, streams?: AttachedStreams, call?: CallOptions): Promise<ContainerRun>
  /**
   * `create` and `start` in one. A container that removes itself, has no terminal and whose streams are given runs
   * as a child of this process: `ended` then also rejects for a command that cannot be run.
   */
  run(options: ContainerOptions, image: ContainerImage, streams?: AttachedStreams, call?: CallOptions): Promise<ContainerRun>
  attach(container: string, streams: AttachedStreams, call?: CallOptions): Promise<AttachmentEnd>
  exec(container: string, options: ExecOptions, streams?: AttachedStreams, call?: CallOptions): Promise<ExecRun>
  stop(container: string, options?: StopOptions): Promise<void>
  restart(container: string, options?: StopOptions): Promise<void>
  kill(container: string, signal?: string): Promise<void>
  pause(container: string): Promise<void>
  unpause(container: string): Promise<void>
  wait(container: string, call?: CallOptions): Promise<number>
  rename(container: string, name: string): Promise<void>
  remove(container: string, options?: ContainerRemoveOptions): Promise<void>
  prune(options?: ContainerPruneOptions): Promise<PruneReport<string>>
  /** The exit command of the monitor: what is due after an end, and restarts. Does nothing for a container that is gone. */
  cleanUp(container: string): Promise<void>
  /** Takes away the containers whose creation a crash cut short, and which keep their image; gives how many. Safe while others work. */
  removeAbandoned(): Promise<number>
  /** Takes away all that crashes have left; gives how many things. Safe while others work. */
  recover(): Promise<number>

  list(options?: ContainerListOptions): Promise<readonly ContainerSummary[]>
  /** Who has an image: all containers, also those that are being made. One query. */
  images(): readonly { readonly containerId: string; readonly imageId: string; readonly chainId: string | undefined }[]
  inspect(container: string, options?: { readonly size?: boolean }): Promise<ContainerInspect>
  logs(container: string, options?: LogOptions & CallOptions): AsyncIterable<LogEntry>
  top(container: string, psArguments?: readonly string[]): Promise<ProcessTable>
  diff(container: string): Promise<readonly ContainerChange[]>

  statPath(container: string, path: string): Promise<PathStat>
  copyFrom(
    container: string,
    path: string,
    options?: CopyOptions & CallOptions,
  ): Promise<{ readonly stat: PathStat; readonly tar: ByteStream }>
  copyTo(container: string, path: string, tar: ByteStream, options?: CopyOptions & CallOptions): Promise<CopyReport>
  copyToHost(container: string, path: string, hostPath: string, options?: CopyOptions & CallOptions): Promise<CopyReport>
  copyFromHost(hostPath: string, container: string, path: string, options?: CopyOptions & CallOptions): Promise<CopyReport>
  commitSource(container: string, options?: CommitSourceOptions): Promise<CommitSource>
  export(container: string, call?: CallOptions): Promise<ByteStream>

  createVolume(options?: VolumeOptions): Promise<VolumeInspect>
  /** @param options.size adds `UsageData` */
  volumes(options?: VolumeListOptions & { readonly size?: boolean }): Promise<readonly VolumeInspect[]>
  inspectVolume(volume: string): Promise<VolumeInspect>
  removeVolume(volume: string, options?: { readonly force?: boolean }): Promise<void>
  pruneVolumes(options?: VolumePruneOptions): Promise<PruneReport<string>>

  /** Releases what is held open; containers go on. */
  close(): Promise<void>
}
