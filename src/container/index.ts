export type { CommitSource, Containers } from './containers.ts'
export type {
  ContainerConfigJson,
  ContainerInspect,
  ContainerStateJson,
  ContainerStatus,
  EndpointJson,
  HealthcheckJson,
  HealthStatus,
  HostConfigJson,
  KeySet,
  MountJson,
  MountPointJson,
  NetworkSettingsJson,
  PortBindingJson,
  PortMap,
} from './inspect.ts'
export type { ContainerImage, ContainersOptions } from './installation.ts'
export { openContainers } from './openContainers.ts'
export type {
  ContainerOptions,
  DeviceOptions,
  HealthCheckOptions,
  MountOptions,
  PublishOptions,
  PullPolicy,
  RestartOptions,
  StreamName,
  StringMap,
  UlimitOptions,
} from './options.ts'
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
  PruneReport,
  StopOptions,
} from './requests.ts'
export type { AttachedStreams, AttachmentEnd, TerminalSize } from './streams.ts'
export type { VolumeInspect, VolumeListOptions, VolumeOptions, VolumePruneOptions } from './volumeInspect.ts'
