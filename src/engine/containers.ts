export type {
  ContainerChange,
  ContainerListOptions,
  ContainerPort,
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
  StopOptions,
} from '../container/index.ts'

export interface CommitOptions {
  readonly reference?: string
  readonly author?: string
  readonly message?: string
  /** Default true: a running container stands still meanwhile. */
  readonly pause?: boolean
  /** Dockerfile instructions for the config, such as `CMD ["bash"]`. */
  readonly changes?: readonly string[]
}
