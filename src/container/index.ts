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
export type { AttachedStreams, AttachmentEnd, TerminalSize } from './streams.ts'
export type { VolumeInspect, VolumeOptions } from './volumeInspect.ts'
